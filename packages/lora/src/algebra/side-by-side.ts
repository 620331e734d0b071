import { Matrix } from 'ml-matrix';
import type { Product } from './truncated-svd.ts';

/** Matrices below each other, or beside each other. */
const joined = (blocks: readonly Matrix[], side: 'rows' | 'columns'): Matrix => {
  const [first, ...rest] = blocks.map((m) => (side === 'rows' ? m : m.transpose()));
  const stacked = new Matrix([first!, ...rest].flatMap((m) => m.to2DArray()));
  return side === 'rows' ? stacked : stacked.transpose();
};

/** B₁·A₁ + B₂·A₂ + … as one product, whose rank is the sum of theirs. */
export const sideBySide = (...all: readonly Product[]): Product => ({
  b: joined(
    all.map(({ b }) => b),
    'columns',
  ),
  a: joined(
    all.map(({ a }) => a),
    'rows',
  ),
});
