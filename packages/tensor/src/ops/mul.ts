import { type Binary, binary, numbers } from './binary.ts';

/** a · b, element by element, broadcast; integers wrap. Throws `bad-shape`, `bad-dtype`. */
export const mul: Binary<'mul'> = binary({
  name: 'mul',
  value: (a, b) => a * b,
  integer: Math.imul,
  vjp: ({ a, b, dy }) => ({ a: mul(dy, b), b: mul(dy, a) }),
  dtypes: numbers,
});
