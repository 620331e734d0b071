import { cos } from './cos.ts';
import { mul } from './mul.ts';
import { type Unary, unary } from './unary.ts';

/** sin x, in radians. WebGPU promises it within 2⁻¹¹ for |x| ≤ π, no more: tables of large angles belong on the host. */
export const sin: Unary<'sin'> = unary({
  name: 'sin',
  value: Math.sin,
  vjp: ({ x, dy }) => mul(dy, cos(x)),
  range: [-3, 3],
});
