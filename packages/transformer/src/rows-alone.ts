import {
  abs,
  add,
  attention,
  broadcastTo,
  cast,
  concat,
  constant,
  gather,
  lessEqual,
  mul,
  PeftError,
  reshape,
  sub,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import { biasedAttention } from './biased-attention.ts';
import type { AttendOptions } from './forward.ts';
import type { KeyValue, Path } from './sites.ts';
import { takeRows } from './take-rows.ts';

/** Whose keys and values rows attend to that go through a layer alone: those of all rows, or their own. */
export type KeysOf = 'all' | 'chosen';

/** Some rows of each sequence, which go through a layer alone, in a tower whose rows see all others. */
export interface RowsAlone {
  /** i32 [batch, k]: their numbers. */
  readonly rows: Tensor;
  /** How many rows a sequence has. */
  readonly total: number;
  /** Keys and values that they see, by the attention's path; null where these are their own. */
  readonly all: ReadonlyMap<Path, KeyValue> | null;
  /** i32 [1 or batch, keys]: the numbers of the keys' rows. */
  readonly places: Tensor;
  /** f32 [batch, keys]: 1 to keep a key; null keeps all. */
  readonly keyMask: Tensor | null;
}

/** i32 [1, length]: start, start + 1, … */
export const counted = (start: number, length: number): Tensor =>
  constant(
    Int32Array.from({ length }, (_, i) => start + i),
    [1, length],
  );

/** The numbers among all of rows that are numbered among those that go alone; what is no row of these is none of all. */
export const rowsOfRows = ({ rows: among, total }: RowsAlone, rows: Tensor): Tensor => {
  const none = constant(Int32Array.of(rows.shape[0]! * total), []);
  return add(takeRows(sub(among, none), rows), none);
};

/** i32 [1 or batch, front + keys]: where keys stand among the rows; those in front, before them. */
const placesOf = ({ places }: RowsAlone, front: number): Tensor =>
  front === 0 ? places : concat(broadcastTo(counted(-front, front), [places.shape[0]!, front]), places, { axis: 1 });

/** [batch, heads, k, keys] of a bias [1, heads, total, front + total]. */
const biasAt = (whole: Tensor, { rows, total }: RowsAlone, places: Tensor, front: number): Tensor => {
  const [, heads] = whole.shape as readonly [number, number, number, number];
  const width = front + total;
  const table = reshape(transpose(broadcastTo(whole, [1, heads, total, width]), [0, 2, 3, 1]), [total * width, heads]);
  const lines = mul(reshape(rows, [...rows.shape, 1]), constant(Int32Array.of(width), [1]));
  const columns = add(reshape(places, [places.shape[0]!, 1, places.shape[1]!]), constant(Int32Array.of(front), [1]));
  return transpose(gather(table, add(lines, columns)), [0, 3, 1, 2]);
};

/**
 * Attention of chosen rows, of q [batch, heads, k, headDim] over keys of which the first `front` are a method's. A bias by places and a reach are those of the rows' places among all. Throws
 * `bad-option` for a bias that is made of the rows themselves.
 */
export const attendAlone = (
  path: Path,
  q: Tensor,
  { k, v }: KeyValue,
  { bias, ofContent = false, reach, ...how }: AttendOptions,
  alone: RowsAlone,
  { front, mask }: { readonly front: number; readonly mask: Tensor | null },
): Tensor => {
  if (!bias && reach === undefined)
    return attention(q, k, v, { ...how, causal: false, ...(mask && { keyMask: mask }) });
  if (ofContent)
    throw new PeftError(
      'bad-option',
      `${path}: attention here compares each row with the places of all others, so no rows go through its layer alone`,
    );
  const { rows, total } = alone;
  const places = placesOf(alone, front);
  const apart = (): Tensor => {
    const distance = sub(reshape(rows, [...rows.shape, 1]), reshape(places, [places.shape[0]!, 1, places.shape[1]!]));
    return reshape(lessEqual(abs(cast(distance, { dtype: 'f32' })), reach!), [
      rows.shape[0]!,
      1,
      ...distance.shape.slice(1),
    ]);
  };
  return biasedAttention(q, k, v, {
    ...how,
    causal: false,
    keyMask: mask,
    pairs: reach === undefined ? null : apart(),
    bias: bias ? biasAt(bias(total, front + total, k, null, mask, front), alone, places, front) : null,
  });
};
