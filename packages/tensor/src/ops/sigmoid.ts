import { mul } from './mul.ts';
import { sub } from './sub.ts';
import { type Unary, unary } from './unary.ts';

/** σ(x) = 1 / (1 + e⁻ˣ). */
export const sigmoid: Unary<'sigmoid'> = unary({
  name: 'sigmoid',
  value: (x) => 1 / (1 + Math.exp(-x)),
  vjp: ({ out, dy }) => mul(dy, mul(out, sub(1, out))),
  range: [-6, 6],
  flops: 3,
});
