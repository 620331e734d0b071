import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { type Executor, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import { evaluateLoss, packTokens, scheduleFree, type TrainOptions, train } from './index.ts';

const data = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});
const decay = 0.8;

/** A run's result, its values at the end, and those after every step. */
const run = async (executor: Executor, more: Partial<TrainOptions> = {}) => {
  const target = attach(tinyLlama(), [lora({ rank: 2 })]);
  const values = async (): Promise<number[]> => {
    const all: number[] = [];
    for (const p of target.params.values()) all.push(...(await executor.read(p)));
    return all;
  };
  const steps: number[][] = [];
  const options = { executor, data, steps: 6, batchSize: 2, readEvery: 1, schedule: () => 0.05 };
  const result = await train(target, {
    ...options,
    ...more,
    onStep: async (p) => {
      steps.push(await values());
      await more.onStep?.(p);
    },
  });
  const { loss } = await evaluateLoss(target.model, data, { executor, batchSize: 2 });
  return { result, loss, values: await values(), steps };
};

/** The mean of all steps' values, the newest weighed most. */
const meanOf = (steps: readonly number[][]): number[] => {
  const weights = steps.map((_, i) => decay ** (steps.length - 1 - i));
  const total = weights.reduce((a, b) => a + b, 0);
  return steps[0]!.map((_, at) => steps.reduce((sum, values, i) => sum + values[at]! * weights[i]!, 0) / total);
};

describe.each<[string, () => Promise<Executor>]>([
  ['reference', async () => reference()],
  ['cpu', () => cpu()],
])('on %s', (_, open) => {
  test.each([1, 2])('the average is the weighed mean of all steps, of %i batches each', async (accumulate) => {
    const executor = await open();
    const plain = await run(executor, { accumulate });
    const found = await run(executor, { accumulate, average: decay, heldOut: { data, every: 3 } });
    // What is trained is the same, also with measurements between; what is left at the end isn't.
    expect(found.steps).toEqual(plain.steps.map((values) => values.map((x) => expect.closeTo(x, 4))));
    const wanted = meanOf(found.steps);
    expect(found.values).toEqual(wanted.map((x) => expect.closeTo(x, 6)));
    expect(Math.max(...wanted.map((x, i) => Math.abs(x - plain.values[i]!)))).toBeGreaterThan(0.01);
    expect(found.result.heldOut.at(-1)!.loss).toBeCloseTo(found.loss, 5);
    await executor.close();
  });
});

test('a run that was cut short goes on with its average', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-average-'));
  const checkpoint = { file: join(dir, 'run.safetensors'), every: 1 };
  const whole = await run(reference(), { average: decay });
  const stop = new AbortController();
  const cut = await run(reference(), {
    average: decay,
    checkpoint,
    signal: stop.signal,
    onStep: ({ step }) => step === 3 && stop.abort(),
  });
  expect(cut.values).toEqual(cut.steps.at(-1));
  const rest = await run(reference(), { average: decay, checkpoint });
  expect(rest.values).toEqual(whole.values.map((x) => expect.closeTo(x, 5)));
  const again = await run(reference(), { average: decay, checkpoint });
  expect(again.steps).toEqual([]);
  expect(again.values).toEqual(whole.values.map((x) => expect.closeTo(x, 5)));
  await expect(run(reference(), { average: 1 })).rejects.toThrow('average must be in [0, 1), got 1');
  await rm(dir, { recursive: true });
});

test('schedule-free AdamW is measured and ends with its average, also where it was stopped, and goes on from what it trained', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-average-'));
  const options = { optimizer: scheduleFree(), heldOut: { data, every: 3 } };
  const whole = await run(reference(), options);
  expect(whole.result.heldOut.at(-1)!.loss).toBeCloseTo(whole.loss, 5);
  const trained = whole.steps.at(-1)!;
  expect(Math.max(...whole.values.map((x, i) => Math.abs(x - trained[i]!)))).toBeGreaterThan(0.01);
  const checkpoint = { file: join(dir, 'run.safetensors'), every: 1 };
  const stop = new AbortController();
  const onStep = ({ step }: { readonly step: number }) => void (step === 3 && stop.abort());
  const cut = await run(reference(), { ...options, checkpoint, signal: stop.signal, onStep });
  expect(cut.result.heldOut.at(-1)!.loss).toBeCloseTo(cut.loss, 5);
  const rest = await run(reference(), { ...options, checkpoint });
  expect(rest.steps.length).toBe(3);
  expect(rest.values).toEqual(whole.values.map((x) => expect.closeTo(x, 6)));
  await expect(run(reference(), { ...options, average: decay })).rejects.toThrow('averages by itself');
  await rm(dir, { recursive: true });
});
