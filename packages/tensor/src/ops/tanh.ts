import { mul } from './mul.ts';
import { sub } from './sub.ts';
import { type Unary, unary } from './unary.ts';

/** tanh x. Some drivers make it of exponentials that overflow; beyond ±15 it is ±1 in f32 anyway. */
export const tanh: Unary<'tanh'> = unary({
  name: 'tanh',
  value: Math.tanh,
  vjp: ({ out, dy }) => mul(dy, sub(1, mul(out, out))),
  range: [-4, 4],
  flops: 4,
});
