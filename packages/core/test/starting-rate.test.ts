import { tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { attach, combine, type Method, startingRate } from '../src/index.ts';
import { scale, shift } from './toys.ts';

const rated = (method: Method, learningRate: number, narrowRate?: number): Method => ({
  ...method,
  learningRate,
  ...(narrowRate !== undefined && { narrowRate }),
});

test('a narrow model begins with the rate for narrow ones, where a method has one', () => {
  const both = { learningRate: 2e-4, narrowRate: 1e-2 };
  const narrow = tinyLlama();
  const wide = { ...narrow, main: { ...narrow.main, hiddenSize: 512 } };
  expect(startingRate(both, narrow)).toBe(1e-2);
  expect(startingRate(both, wide)).toBe(2e-4);
  expect(startingRate({ learningRate: 2e-4 }, narrow)).toBe(2e-4);
  expect(startingRate({}, narrow)).toBeNull();
});

test('several methods have the lowest rate of theirs, for narrow models too', () => {
  const rateOf = (...methods: Method[]): number | null => attach(tinyLlama(), methods).learningRate;
  expect(rateOf(rated(scale(), 2e-4, 1e-2))).toBe(1e-2);
  expect(rateOf(rated(scale(), 2e-4, 1e-2), rated(shift(), 3e-3))).toBe(3e-3);
  expect(rateOf(rated(scale(), 2e-4), rated(shift(), 3e-3))).toBe(2e-4);
  const { learningRate, narrowRate } = combine([
    { method: rated(scale(), 2e-4, 1e-2) },
    { method: rated(shift(), 3e-3, 2e-2) },
  ]);
  expect([learningRate, narrowRate]).toEqual([2e-4, 1e-2]);
});
