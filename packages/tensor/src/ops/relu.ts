import { greater } from './greater.ts';
import { mul } from './mul.ts';
import { awayFromZero, type Unary, unary } from './unary.ts';

/** max(x, 0); its slope at 0 is taken as 0. Nair & Hinton, 2010. https://www.cs.toronto.edu/~fritz/absps/reluICML.pdf */
export const relu: Unary<'relu'> = unary({
  name: 'relu',
  value: (x) => Math.max(x, 0),
  vjp: ({ x, dy }) => mul(dy, greater(x, 0)),
  values: awayFromZero,
});
