import { type Binary, binary } from './binary.ts';
import { neg } from './neg.ts';

/** a − b. */
export const sub: Binary<'sub'> = binary({ name: 'sub', body: 'a - b', value: (a, b) => a - b, vjp: ({ dy }) => ({ a: dy, b: neg(dy) }) });
