import { div } from './div.ts';
import { mul } from './mul.ts';
import { type Unary, unary } from './unary.ts';

/** √x, for x ≥ 0. */
export const sqrt: Unary<'sqrt'> = unary({
  name: 'sqrt',
  value: Math.sqrt,
  vjp: ({ out, dy }) => div(mul(dy, 0.5), out),
  range: [0.25, 4],
});
