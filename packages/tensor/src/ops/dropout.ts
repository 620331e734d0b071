import { PeftError } from '../error.ts';
import type { Tensor } from '../graph.ts';
import { greaterEqual } from './greater-equal.ts';
import { mul } from './mul.ts';
import { randomUniform } from './random-uniform.ts';

/**
 * x with each value zeroed with probability `rate`, the others divided by 1 − rate, so that the mean stays; a rate of 0 is x itself.
 * Which ones depends on seed and stream alone, as in `randomBits`. Srivastava et al., 2014. https://jmlr.org/papers/v15/srivastava14a.html
 * Throws `bad-option` unless 0 ≤ rate < 1.
 */
export const dropout = (x: Tensor, rate: number, seed: Tensor | number, stream: number): Tensor => {
  if (!(rate >= 0 && rate < 1))
    throw new PeftError('bad-option', `dropout: rate is ${rate}, expected a number in [0, 1)`);
  if (rate === 0) return x;
  return mul(x, mul(greaterEqual(randomUniform(seed, x.shape, stream), rate), 1 / (1 - rate)));
};
