import { mul } from './mul.ts';
import { type Unary, unary } from './unary.ts';

/** eˣ. */
export const exp: Unary<'exp'> = unary({
  name: 'exp',
  value: Math.exp,
  vjp: ({ out, dy }) => mul(dy, out),
  range: [-3, 3],
});
