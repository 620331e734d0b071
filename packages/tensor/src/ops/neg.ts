import { type Unary, unary } from './unary.ts';

/** −x, for f32 and i32. */
export const neg: Unary<'neg'> = unary({
  name: 'neg',
  value: (x) => -x,
  vjp: ({ dy }) => neg(dy),
  dtypes: ['f32', 'i32'],
});
