import { div } from './div.ts';
import { type Unary, unary } from './unary.ts';

/** The natural logarithm, for x > 0. */
export const log: Unary<'log'> = unary({
  name: 'log',
  value: Math.log,
  vjp: ({ x, dy }) => div(dy, x),
  range: [0.25, 4],
});
