import { mul } from './mul.ts';
import { neg } from './neg.ts';
import { sin } from './sin.ts';
import { type Unary, unary } from './unary.ts';

/** cos x, in radians, on WebGPU as accurate as `sin`. */
export const cos: Unary<'cos'> = unary({
  name: 'cos',
  value: Math.cos,
  vjp: ({ x, dy }) => neg(mul(dy, sin(x))),
  range: [-3, 3],
});
