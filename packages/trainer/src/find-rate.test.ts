import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { rateOf } from './find-rate.ts';
import { findRate, packTokens, train } from './index.ts';

const data = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

test('the rate is that in the middle of the longest fall', () => {
  // Flat with a wiggle, down from 20 to 60 with a bump, then up.
  const loss = (i: number): number =>
    i < 20 ? 3 + (i % 2) * 0.01 : i <= 60 ? 3 - (i - 20) * 0.03 + (i === 40 ? 1 : 0) : 2 + (i - 60) * 0.2;
  const curve = Array.from({ length: 90 }, (_, i) => ({ learningRate: i, loss: loss(i) }));
  const found = rateOf(curve, 100)!;
  expect(Math.abs(found - 40)).toBeLessThanOrEqual(5);
  expect(rateOf(curve.slice(0, 12), 100)).toBe(null);
  expect(
    rateOf(
      curve.map(({ learningRate }) => ({ learningRate, loss: learningRate })),
      100,
    ),
  ).toBe(null);
});

test('a rate is found by which the loss falls, and nothing has changed by it', async () => {
  const [executor, target] = [reference(), attach(tinyLlama(), [lora({ rank: 2 })])];
  const values = async (): Promise<number[]> => {
    const all: number[] = [];
    for (const p of target.params.values()) all.push(...(await executor.read(p)));
    return all;
  };
  const before = await values();
  const { learningRate, curve } = await findRate(target, {
    executor,
    data,
    batchSize: 4,
    from: 1e-5,
    to: 100,
    steps: 40,
  });
  expect(await values()).toEqual(before);
  expect(curve[0]!.learningRate).toBeCloseTo(1e-5, 12);
  expect(learningRate).toBeGreaterThan(1e-4);
  expect(learningRate).toBeLessThan(1);
  const { losses } = await train(target, { executor, data, batchSize: 4, steps: 10, schedule: () => learningRate });
  expect(losses.at(-1)!.loss).toBeLessThan(losses[0]!.loss);
});

test('what is no trial is refused', async () => {
  const target = attach(tinyLlama(), [lora({ rank: 2 })]);
  const of = (more: object) => findRate(target, { executor: reference(), data, ...more });
  await expect(of({ from: 1, to: 0.1 })).rejects.toThrow('findRate: to must be above from, 1, got 0.1');
  await expect(of({ steps: 5 })).rejects.toThrow('findRate: steps must be at least 20, got 5');
  await expect(of({ batchSize: 0 })).rejects.toThrow('batchSize must be a whole number of at least 1, got 0');
});
