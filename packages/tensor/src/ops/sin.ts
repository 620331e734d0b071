import { cos } from './cos.ts';
import { mul } from './mul.ts';
import { type Unary, unary } from './unary.ts';

/** sin x, in radians, on every executor within 3·10⁻⁷ for |x| ≤ 1,000: tables of larger angles belong on the host. */
export const sin: Unary<'sin'> = unary({
  name: 'sin',
  value: Math.sin,
  vjp: ({ x, dy }) => mul(dy, cos(x)),
  range: [-3, 3],
});
