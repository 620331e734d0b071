import {
  add,
  argmax,
  cast,
  constant,
  greaterEqual,
  less,
  maximum,
  mul,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';

/** Rows of a stream that are changed: f32 [1 or batch, rows, 1], 1 for those; null for none. */
export interface Positions {
  readonly prefix: Tensor | null;
  readonly suffix: Tensor | null;
}

const inside = (row: Tensor, start: Tensor | number, end: Tensor | number): Tensor =>
  mul(greaterEqual(row, start), less(row, end));

/**
 * The first `prefix` and the last `suffix` tokens of every sequence; hidden ones, and rows that other methods put in front, do not count. The
 * first are those of the whole sequence, also where a cache goes on with it; the last are those of the tokens that are given at once.
 */
export const positionsIn = (x: Tensor, { sequence }: Call, prefix: number, suffix: number): Positions => {
  const { tokens, mask, positions, continues } = sequence;
  const rows = x.shape[1]!;
  const numbers = Float32Array.from({ length: rows }, (_, i) => i - (rows - tokens));
  const row = constant(numbers, [1, rows, 1]);
  const known = mask && slice(mask, { axis: 1, start: mask.shape[1]! - tokens, end: mask.shape[1]! });
  const column = (perSequence: Tensor): Tensor => reshape(perSequence, [perSequence.shape[0]!, 1, 1]);
  const begin = known ? column(cast(argmax(known, { axis: 1 }), { dtype: 'f32' })) : 0;
  const end = known ? add(column(sum(known, { axes: [1] })), begin) : tokens;
  const first = (): Tensor => {
    if (!continues || !positions) return inside(row, begin, add(begin, prefix));
    const places = cast(reshape(positions, [positions.shape.length === 2 ? positions.shape[0]! : 1, tokens, 1]), {
      dtype: 'f32',
    });
    return less(places, prefix);
  };
  const last = (): Tensor =>
    inside(row, typeof end === 'number' ? Math.max(0, end - suffix) : maximum(sub(end, suffix), begin), end);
  return { prefix: prefix > 0 ? first() : null, suffix: suffix > 0 ? last() : null };
};
