import {
  add,
  broadcastTo,
  cast,
  concat,
  constant,
  equal,
  PeftError,
  reshape,
  select,
  type Tensor,
} from '@peftjs/tensor';
import type { KeyValue } from '@peftjs/transformer';

/** f32 [batch], 1 where a row has the number `i`. */
const ofRow = (row: Tensor, i: number): Tensor => equal(row, constant(Int32Array.of(i), []));

/** i32 [batch], 1 where a row has one of the numbers. */
export const ofAny = (row: Tensor, numbers: readonly number[]): Tensor =>
  cast(
    numbers.map((i) => ofRow(row, i)).reduce((a, b) => add(a, b)),
    { dtype: 'i32' },
  );

/** Zeros in front along an axis, up to `size`. */
const padFront = (x: Tensor, axis: number, size: number): Tensor => {
  if (x.shape[axis] === size) return x;
  const zeros = broadcastTo(
    constant(Float32Array.of(0), []),
    x.shape.map((d, i) => (i === axis ? size - d : d)),
  );
  return concat(zeros, x, { axis });
};

/** Of [batch, rows, ...] tensors, for each row of the batch the one of its number, `plain` where it has none. */
const choose = (path: string, row: Tensor, plain: Tensor, others: readonly (Tensor | null)[], axis: number): Tensor => {
  const sizes = new Set(others.flatMap((y) => (y && y.shape[axis] !== plain.shape[axis] ? [y.shape[axis]!] : [])));
  if (sizes.size > 1)
    throw new PeftError(
      'bad-shape',
      `mixBatch: at ${path} the adapters give ${[...sizes].join(' and ')} rows; all that put rows in front must put as many`,
    );
  if (others.some((y) => y?.shape.some((d, i) => i !== axis && d !== plain.shape[i])))
    throw new PeftError(
      'bad-shape',
      `mixBatch: at ${path} an adapter gives values of another width than the base; run it in a batch of its own`,
    );
  const size = Math.max(plain.shape[axis]!, ...sizes);
  const mask = (i: number): Tensor => reshape(ofRow(row, i), [row.shape[0]!, ...plain.shape.slice(1).map(() => 1)]);
  return others.reduce<Tensor>(
    (y, other, i) => (other ? select(mask(i), padFront(other, axis, size), y) : y),
    padFront(plain, axis, size),
  );
};

/**
 * The output of a site or layer for a batch whose rows have numbers: `others[number]`, or `plain` where that is null or the number is −1.
 * Rows that only some put in front are zeros for the others. Throws `bad-shape`.
 */
export const rowwise = <T extends Tensor | KeyValue>(
  path: string,
  row: Tensor,
  plain: T,
  others: readonly (T | null)[],
): T => {
  if ('node' in plain) return choose(path, row, plain, others as readonly (Tensor | null)[], 1) as T;
  const part = (name: 'k' | 'v'): Tensor =>
    choose(
      path,
      row,
      plain[name],
      (others as readonly (KeyValue | null)[]).map((kv) => (kv ? kv[name] : null)),
      2,
    );
  return { k: part('k'), v: part('v') } as T;
};
