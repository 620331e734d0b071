import {
  add,
  argmax,
  cast,
  constant,
  floor,
  greaterEqual,
  less,
  maximum,
  minimum,
  mul,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';

/** Numbers of first and of last tokens, and whose they are: see `ReftOptions`. */
export interface PositionsAsked {
  readonly prefixPositions: number;
  readonly suffixPositions: number;
  readonly positionsOf: 'given' | 'prompt';
}

/** Rows of a stream that are changed: f32 [1 or batch, rows, 1], 1 for those; null for none. */
export interface Positions {
  readonly prefix: Tensor | null;
  readonly suffix: Tensor | null;
}

const inside = (row: Tensor, start: Tensor | number, end: Tensor | number): Tensor =>
  mul(greaterEqual(row, start), less(row, end));

/**
 * The first `prefix` and the last `suffix` tokens of every sequence; hidden ones, and rows that other methods put in front, do not count. The
 * first are those of the whole sequence, also where a cache goes on with it; the last are those of the tokens that are given at once. Of a
 * prompt alone they are at most its half from either end, and what goes on with a cache has none.
 */
export const positionsIn = (x: Tensor, { sequence }: Call, asked: PositionsAsked): Positions => {
  const { prefixPositions, suffixPositions, positionsOf } = asked;
  const { tokens, mask, positions, continues } = sequence;
  if (positionsOf === 'prompt' && continues) return { prefix: null, suffix: null };
  const rows = x.shape[1]!;
  const numbers = Float32Array.from({ length: rows }, (_, i) => i - (rows - tokens));
  const row = constant(numbers, [1, rows, 1]);
  const known = mask && slice(mask, { axis: 1, start: mask.shape[1]! - tokens, end: mask.shape[1]! });
  const column = (perSequence: Tensor): Tensor => reshape(perSequence, [perSequence.shape[0]!, 1, 1]);
  const begin = known ? column(cast(argmax(known, { axis: 1 }), { dtype: 'f32' })) : 0;
  const length = known ? column(sum(known, { axes: [1] })) : tokens;
  const end = typeof length === 'number' ? length : add(length, begin);
  const most = (wanted: number): Tensor | number => {
    if (positionsOf === 'given') return wanted;
    return typeof length === 'number'
      ? Math.min(wanted, Math.floor(length / 2))
      : minimum(floor(mul(length, 0.5)), wanted);
  };
  const [prefix, suffix] = [most(prefixPositions), most(suffixPositions)];
  const first = (): Tensor => {
    if (!continues || !positions) return inside(row, begin, add(begin, prefix));
    const places = cast(reshape(positions, [positions.shape.length === 2 ? positions.shape[0]! : 1, tokens, 1]), {
      dtype: 'f32',
    });
    return less(places, prefixPositions);
  };
  const last = (): Tensor =>
    inside(
      row,
      typeof end === 'number' && typeof suffix === 'number'
        ? Math.max(0, end - suffix)
        : maximum(sub(end, suffix), begin),
      end,
    );
  return { prefix: prefixPositions > 0 ? first() : null, suffix: suffixPositions > 0 ? last() : null };
};
