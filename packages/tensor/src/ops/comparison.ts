import { type Binary, binary, numbers } from './binary.ts';

/** Operands that are often equal. */
const values = { a: (i: number): number => i % 3, b: (i: number): number => (i * 2) % 5 };

/** Builds the record of a comparison: f32 1 where it holds, else 0. Piecewise constant, so no gradient flows through. */
export const comparison = <Name extends string>(name: Name, holds: (a: number, b: number) => boolean): Binary<Name> =>
  binary({
    name,
    value: (a, b) => (holds(a, b) ? 1 : 0),
    vjp: 'none',
    dtypes: numbers,
    out: 'f32',
    values,
  });
