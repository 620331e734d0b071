import { awayFromZero, type Unary, unary } from './unary.ts';

/** −1, 0 or 1, for f32 and i32. Piecewise constant, so no gradient flows through. */
export const sign: Unary<'sign'> = unary({
  name: 'sign',
  value: Math.sign,
  vjp: 'none',
  dtypes: ['f32', 'i32'],
  values: awayFromZero,
});
