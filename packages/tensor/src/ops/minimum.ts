import { type Binary, binary, numbers } from './binary.ts';
import { greater } from './greater.ts';
import { lessEqual } from './less-equal.ts';
import { apart } from './maximum.ts';
import { mul } from './mul.ts';

/** The smaller of a and b, broadcast; where equal, the gradient goes to a. Throws `bad-shape`, `bad-dtype`. */
export const minimum: Binary<'minimum'> = binary({
  name: 'minimum',
  value: Math.min,
  vjp: ({ a, b, dy }) => ({ a: mul(dy, lessEqual(a, b)), b: mul(dy, greater(a, b)) }),
  dtypes: numbers,
  values: apart,
});
