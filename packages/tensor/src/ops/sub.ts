import { type Binary, binary, numbers } from './binary.ts';
import { neg } from './neg.ts';

/** a − b, broadcast; integers wrap. Throws `bad-shape`, `bad-dtype`. */
export const sub: Binary<'sub'> = binary({
  name: 'sub',
  value: (a, b) => a - b,
  vjp: ({ dy }) => ({ a: dy, b: neg(dy) }),
  dtypes: numbers,
});
