import { type Binary, binary, numbers } from './binary.ts';

/** a + b, broadcast; integers wrap. Throws `bad-shape`, `bad-dtype`. */
export const add: Binary<'add'> = binary({
  name: 'add',
  value: (a, b) => a + b,
  vjp: ({ dy }) => ({ a: dy, b: dy }),
  dtypes: numbers,
});
