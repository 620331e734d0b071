import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluateLoss, type Measurement, packTokens, type TrainOptions, train } from './index.ts';
import { standing } from './standing.ts';

const text = (of: number): number[] => Array.from({ length: 40 }, (_, i) => 1 + (of ** (i % 10) % 11));
const [rows, other] = [2, 7].map((of) => packTokens([text(of)], { context: 6, endOfText: 12 }));

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'peftjs-best-'));
});
afterAll(() => rm(dir, { recursive: true }));

/** A run that learns one text and is measured on another, for which it becomes worse. */
const run = async (more: Partial<TrainOptions> = {}, heldOut: Partial<TrainOptions['heldOut']> = {}) => {
  const executor = reference();
  const adapted = attach(tinyLlama(), [lora({ rank: 2 })]);
  const result = await train(adapted, {
    data: rows!,
    executor,
    steps: 10,
    batchSize: 2,
    schedule: () => 0.05,
    heldOut: { data: other!, every: 2, ...heldOut },
    ...more,
  });
  const { loss } = await evaluateLoss(adapted.model, other!, { executor, batchSize: 2 });
  return { result, loss };
};

describe('a run that becomes worse', () => {
  test('ends when patience is over, and has its best weights again', async () => {
    const told: Measurement[] = [];
    const whole = await run();
    const losses = whole.result.heldOut.map((h) => h.loss);
    const least = Math.min(...losses);
    const at = losses.indexOf(least);
    // Otherwise nothing is shown: there are three worse ones after the best.
    expect(at).toBeLessThan(losses.length - 3);
    expect(whole.loss).toBeCloseTo(losses.at(-1)!, 9);
    const { result, loss } = await run(
      { onEvaluate: (m) => told.push(m) },
      { patience: 2, keepBest: true, by: 'perplexity' },
    );
    expect(result.stopped).toBe('patience');
    expect(result.heldOut.map((h) => h.loss)).toEqual(losses.slice(0, at + 3));
    expect(result.losses.length).toBe(2 * (at + 2));
    expect(loss).toBeCloseTo(least, 9);
    expect(told.filter((m) => m.isBest).at(-1)!.step).toBe(2 * at);
    expect(told.map((m) => m.metrics['perplexity'])).toEqual(losses.slice(0, at + 3).map(Math.exp));
  });

  test('keeps the best weights in a file, for a run that was cut short too, and stays ended', async () => {
    const file = join(dir, 'run.safetensors');
    const [stop, kept] = [new AbortController(), [] as number[]];
    const options = {
      checkpoint: { file, every: 1, keep: 4 },
      onCheckpoint: (c: { step: number }) => kept.push(c.step),
    };
    const heldOut = { patience: 2, keepBest: true };
    const whole = await run({}, heldOut);
    const best = standing(whole.result.heldOut, {}).best!;
    const onStep = ({ step }: { step: number }): unknown => step === best.step + 3 && stop.abort();
    const cut = await run({ ...options, onStep, signal: stop.signal }, heldOut);
    expect(cut.result.stopped).toBe('signal');
    const { result, loss } = await run(options, heldOut);
    expect(result.resumed?.step).toBe(best.step + 3);
    expect(result.stopped).toBe('patience');
    expect(loss).toBeCloseTo(best.loss, 5);
    expect(kept).toEqual(Array.from({ length: best.step + 4 }, (_, i) => i + 1));
    const again = await run(options, heldOut);
    expect([again.result.stopped, again.result.losses.length]).toEqual(['patience', best.step + 4]);
    expect(again.loss).toBeCloseTo(best.loss, 5);
    // From an older one it goes the same way once more.
    const from = await run({ ...options, checkpoint: { ...options.checkpoint, from: `${file}.2` } }, heldOut);
    expect(from.result.resumed).toMatchObject({ file: `${file}.2`, step: best.step + 2 });
    expect(from.loss).toBeCloseTo(best.loss, 5);
    const none = run({ ...options, checkpoint: { file, every: 1, from: join(dir, 'none') } }, heldOut);
    await expect(none).rejects.toThrow(/train: the checkpoint to go on from, .*none, is not there/);
    await rm(`${file}.best`);
    await expect(run(options, heldOut)).rejects.toThrow('the file of the best weights');
  });

  test('is refused where it is compared by what is not measured', async () => {
    await expect(run({}, { by: 'accuracy' })).rejects.toThrow(
      'heldOut: by is accuracy, which is not measured; there are loss, perplexity',
    );
    await expect(run({}, { patience: 0 })).rejects.toThrow('heldOut: patience must be a whole number of at least 1');
  });
});

test('measurements are compared as is said, the first of two alike is the best', () => {
  const at = [3, 1, 2, 1].map((loss, step) => ({ step, loss, metrics: { f1: loss / 10 } }));
  expect(standing(at, {})).toEqual({ best: at[1], since: 2 });
  expect(standing(at, { by: 'f1' })).toEqual({ best: at[0], since: 3 });
  expect(standing(at, { by: 'f1', better: 'lower' }).best).toBe(at[1]);
  expect(standing([], {})).toEqual({ best: null, since: 0 });
});
