import { type Unary, unary } from './unary.ts';

/** −x. */
export const neg: Unary<'neg'> = unary({ name: 'neg', body: '-x', value: (x) => -x, vjp: ({ dy }) => neg(dy) });
