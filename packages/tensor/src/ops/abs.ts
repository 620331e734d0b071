import { mul } from './mul.ts';
import { sign } from './sign.ts';
import { awayFromZero, type Unary, unary } from './unary.ts';

/** |x|, for f32 and i32; its slope at 0 is taken as 0. */
export const abs: Unary<'abs'> = unary({
  name: 'abs',
  value: Math.abs,
  vjp: ({ x, dy }) => mul(dy, sign(x)),
  dtypes: ['f32', 'i32'],
  values: awayFromZero,
});
