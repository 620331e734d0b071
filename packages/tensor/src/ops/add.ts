import { type Binary, binary } from './binary.ts';

/** a + b. */
export const add: Binary<'add'> = binary({ name: 'add', body: 'a + b', value: (a, b) => a + b, vjp: ({ dy }) => ({ a: dy, b: dy }) });
