import { constant, normalValues, type OnExecutor, randomSource, type Tensor, type Variable } from '@peftjs/tensor';

/** Token ids as a graph constant: [rows, tokens]. */
export const tokens = (...rows: readonly (readonly number[])[]): Tensor =>
  constant(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

/** Largest |a − b|; Infinity where lengths differ or a value is not a number. */
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++)
    most = Math.max(most, Number.isFinite(a[i]! - b[i]!) ? Math.abs(a[i]! - b[i]!) : Number.POSITIVE_INFINITY);
  return most;
};

/** The executor that has the values, and how far they move. */
export interface ShakeOptions extends OnExecutor {
  /** Default 0.3. */
  readonly std?: number;
}

/** Moves every value of some variables by N(0, std²), so that nothing is where it started. */
export const shake = async (
  variables: ReadonlyMap<string, Variable>,
  { executor, std = 0.3 }: ShakeOptions,
): Promise<void> => {
  for (const [name, v] of variables) {
    const values = await executor.read(v);
    const noise = normalValues(values.length, std, randomSource(7, name));
    await executor.write(
      v,
      Float32Array.from(values, (x, i) => x + noise[i]!),
    );
  }
};
