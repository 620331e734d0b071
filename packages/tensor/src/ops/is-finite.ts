import { type Unary, unary } from './unary.ts';

const special = [1, Number.NaN, 0, Number.POSITIVE_INFINITY, -3e38, Number.NEGATIVE_INFINITY, 1e-40];

/** 1 where x is a finite f32, 0 where it is infinite or no number. Its bits are looked at: compilers of shaders may take every number for finite. */
export const isFinite: Unary<'is_finite'> = unary({
  name: 'is_finite',
  value: (x) => (Number.isFinite(Math.fround(x)) ? 1 : 0),
  vjp: 'none',
  values: (i) => special[i % special.length]!,
});
