import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import type { Executor } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/transformer/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  adamw,
  type Batch,
  makeBatch,
  makeTrainStep,
  readCheckpoint,
  type TrainStep,
  writeCheckpoint,
} from './index.ts';

const batches = [0, 1, 2, 3].map(
  (i): Batch => makeBatch([Int32Array.of(1, 5 + i, 2, 9, 4), Int32Array.of(3, 3, 8 + i, 0, 7)], 2, 4),
);

describe('a checkpoint of a loop of its own', () => {
  let dir: string;
  let file: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'peftjs-checkpoint-'));
    file = join(dir, 'run.safetensors');
  });
  afterAll(() => rm(dir, { recursive: true }));

  const opened = async (executor: Executor) => {
    const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
    const step = await makeTrainStep(adapted, { executor, optimizer: adamw() });
    await step.collect(batches[0]!, 0);
    return { adapted, step };
  };
  const kept = ({ adapted, step }: Awaited<ReturnType<typeof opened>>) => [
    ...adapted.params.values(),
    ...[...step.state.values()].flat(),
  ];
  const valuesOf = async (run: Awaited<ReturnType<typeof opened>>, executor: Executor) =>
    Promise.all(kept(run).map(async (v) => [...(await executor.read(v))]));
  const go = async (step: TrainStep, from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) {
      if (i > 0) await step.collect(batches[i]!, i);
      await step.apply(i, 0.01);
    }
    await step.results();
  };

  test('goes on where it stood, to the bit', async () => {
    const executor = await cpu({ threads: 1 });
    expect(await readCheckpoint(join(dir, 'none'), [], { executor })).toBeNull();
    const whole = await opened(executor);
    await go(whole.step, 0, 4);
    const half = await opened(executor);
    await go(half.step, 0, 2);
    await writeCheckpoint(file, kept(half), { step: 2, data: null, log: { best: 1.5 } }, { executor });
    const rest = await opened(executor);
    await go(rest.step, 0, 1);
    const state = await readCheckpoint(file, kept(rest), { executor });
    expect(state).toEqual({ step: 2, data: null, log: { best: 1.5 } });
    await go(rest.step, state!.step, 4);
    expect(await valuesOf(rest, executor)).toEqual(await valuesOf(whole, executor));
    await expect(readCheckpoint(file, kept(rest).slice(1), { executor })).rejects.toMatchObject({
      code: 'state-mismatch',
    });
    await executor.close();
  });
});
