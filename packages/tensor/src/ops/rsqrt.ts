import { mul } from './mul.ts';
import { type Unary, unary } from './unary.ts';

/** 1 / √x, for x > 0. */
export const rsqrt: Unary<'rsqrt'> = unary({
  name: 'rsqrt',
  value: (x) => 1 / Math.sqrt(x),
  vjp: ({ out, dy }) => mul(dy, mul(-0.5, mul(out, mul(out, out)))),
  range: [0.25, 4],
  flops: 2,
});
