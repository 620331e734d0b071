import { expect, test } from 'vitest';
import { frozenShare } from '../src/aflora/freezing.ts';

test('matrices are frozen by a cubic, between warm-up and the last steps', () => {
  const options = { steps: 100, warmup: 10, final: 30, interval: 5, beta1: 0.85, beta2: 0.85 };
  expect([1, 10, 40, 70, 99].map((step) => frozenShare(options, step))).toEqual([0, 0, 0.875, 1, 1]);
});
