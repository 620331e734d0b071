import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';

/** Token ids as a graph constant: [rows, tokens]. */
export const tokens = (...rows: readonly (readonly number[])[]): Tensor =>
  constant(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

/** The values of one tensor on the reference executor. */
export const valuesOf = async (t: Tensor): Promise<number[]> =>
  Array.from((await evaluate({ t }, { executor: reference() }))['t']!);

/** Largest |a − b|. */
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Infinity;
  let most = 0;
  for (let i = 0; i < a.length; i++)
    most = Math.max(most, Number.isFinite(a[i]! - b[i]!) ? Math.abs(a[i]! - b[i]!) : Infinity);
  return most;
};
