import { mul } from './mul.ts';
import { sub } from './sub.ts';
import { type Unary, unary } from './unary.ts';

/** A WGSL expression of σ(x) whose exponential can't overflow, so that no infinity arises, which WGSL leaves undefined. */
export const sigmoidExpression: string = 'select(exp(-abs(x)), 1.0, x >= 0.0) / (1.0 + exp(-abs(x)))';

/** σ(x) = 1 / (1 + e⁻ˣ). */
export const sigmoid: Unary<'sigmoid'> = unary({
  name: 'sigmoid',
  body: sigmoidExpression,
  value: (x) => 1 / (1 + Math.exp(-x)),
  vjp: ({ out, dy }) => mul(dy, mul(out, sub(1, out))),
  range: [-6, 6],
  flops: 3,
});
