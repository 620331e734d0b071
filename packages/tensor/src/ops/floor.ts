import { type Unary, unary } from './unary.ts';

/** The largest integer ≤ x. Piecewise constant, so no gradient flows through. */
export const floor: Unary<'floor'> = unary({
  name: 'floor',
  value: Math.floor,
  vjp: 'none',
  range: [-5, 5],
});
