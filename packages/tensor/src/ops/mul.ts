import { type Binary, binary } from './binary.ts';

/** a · b, element by element. */
export const mul: Binary<'mul'> = binary({
  name: 'mul',
  body: 'a * b',
  value: (a, b) => a * b,
  vjp: ({ a, b, dy }) => ({ a: mul(dy, b), b: mul(dy, a) }),
});
