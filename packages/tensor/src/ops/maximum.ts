import { type Binary, binary, numbers } from './binary.ts';
import { greaterEqual } from './greater-equal.ts';
import { less } from './less.ts';
import { mul } from './mul.ts';

/** Values of two operands that are never closer than 0.1: no ties near which differences would lie. */
export const apart: { readonly a: (i: number) => number; readonly b: (i: number) => number } = {
  a: (i) => (((i * 7) % 11) - 5) / 5,
  b: (i) => (((i * 5) % 11) - 5) / 5 + 0.1,
};

/** The larger of a and b, broadcast; where equal, the gradient goes to a. Throws `bad-shape`, `bad-dtype`. */
export const maximum: Binary<'maximum'> = binary({
  name: 'maximum',
  value: Math.max,
  vjp: ({ a, b, dy }) => ({ a: mul(dy, greaterEqual(a, b)), b: mul(dy, less(a, b)) }),
  dtypes: numbers,
  values: apart,
});
