import {
  add,
  argmax,
  broadcastTo,
  concat,
  constant,
  div,
  gather,
  greater,
  max,
  maximum,
  mul,
  reshape,
  select,
  slice,
  sqrt,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Inputs } from './states.ts';

/** A row of each sequence of x [batch, tokens, d], by its position: at i32 [batch] -> [batch, d]. */
export const rowsAt = (x: Tensor, at: Tensor): Tensor => {
  const [batch, tokens, width] = x.shape as readonly [number, number, number];
  const starts = constant(
    Int32Array.from({ length: batch }, (_, i) => i * tokens),
    [batch],
  );
  return gather(reshape(x, [batch * tokens, width]), add(starts, at));
};

/** i32 [batch]: the last place of each row of `kept` f32 [batch, tokens] that is 1. */
export const lastKept = (kept: Tensor): Tensor => {
  const tokens = kept.shape[1]!;
  const places = constant(
    Float32Array.from({ length: tokens }, (_, t) => t),
    [tokens],
  );
  return argmax(mul(kept, places), { axis: 1 });
};

/** The first row of each sequence: of a prompt in front, where there is one, as in transformers. [batch, rows, d] -> [batch, d]. */
export const firstRow = (rows: Tensor): Tensor => {
  const [batch, , width] = rows.shape as readonly [number, number, number];
  return reshape(slice(rows, { axis: 1, start: 0, end: 1 }), [batch, width]);
};

/** The last row of each sequence, of padding too: [batch, rows, d] -> [batch, d]. */
export const lastRow = (rows: Tensor): Tensor => {
  const [batch, count, width] = rows.shape as readonly [number, number, number];
  return reshape(slice(rows, { axis: 1, start: count - 1, end: count }), [batch, width]);
};

/** The sum of the rows that count, and their number, at least 1e-9: [batch, d] and [batch, 1]. */
const summed = (rows: Tensor, counted: Tensor | null): readonly [sum: Tensor, count: Tensor] => {
  const [batch, count] = rows.shape as readonly [number, number, number];
  if (!counted) return [sum(rows, { axes: [1] }), constant(Float32Array.of(count), [])];
  const kept = mul(rows, reshape(counted, [batch, count, 1]));
  return [sum(kept, { axes: [1] }), maximum(reshape(sum(counted, { axes: [1] }), [batch, 1]), 1e-9)];
};

/** The mean of the rows in front and of the tokens that the mask keeps: [batch, rows, d] -> [batch, d]; zeros where there are none. */
export const meanRow = (rows: Tensor, { mask }: Inputs, tokens: number): Tensor => {
  const [batch, count] = rows.shape as readonly [number, number, number];
  const front = constant(Float32Array.of(1), []);
  const counted =
    mask && count > tokens ? concat(broadcastTo(front, [batch, count - tokens]), mask, { axis: 1 }) : (mask ?? null);
  return div(...summed(rows, counted));
};

/** The states that no token that is kept may have, so that they are never the largest. */
const least = -3e38;

/** Ways in which the states of a text's tokens become one vector. */
export type Pooling = 'mean' | 'mean-sqrt' | 'cls' | 'last' | 'max';

/**
 * One vector for each text: states [batch, tokens, d], mask f32 [batch, tokens], 1 for tokens that count, null for all -> [batch, d]. `mean`, or
 * `mean-sqrt`, the sum over √count; `cls` and `last`, the first and the last token that counts; `max`, the largest of each value.
 * Reimers & Gurevych, 2019, https://arxiv.org/abs/1908.10084; sentence-transformers, `Pooling`.
 */
export const poolings: { readonly [P in Pooling]: (states: Tensor, mask: Tensor | null) => Tensor } = {
  mean: (x, mask) => div(...summed(x, mask)),
  'mean-sqrt': (x, mask) => {
    const [total, count] = summed(x, mask);
    return div(total, sqrt(count));
  },
  cls: (x, mask) => (mask ? rowsAt(x, argmax(mask, { axis: 1 })) : firstRow(x)),
  last: (x, mask) => {
    const [batch, tokens] = x.shape as readonly [number, number, number];
    return rowsAt(x, mask ? lastKept(mask) : constant(new Int32Array(batch).fill(tokens - 1), [batch]));
  },
  max: (x, mask) => {
    const [batch, tokens] = x.shape as readonly [number, number, number];
    const seen = mask && reshape(greater(mask, 0.5), [batch, tokens, 1]);
    return max(seen ? select(seen, x, constant(Float32Array.of(least), [])) : x, { axes: [1] });
  },
};

/** x / max(‖x‖, 1e-12) over the last axis: torch's `normalize`. */
export const normalized = (x: Tensor): Tensor =>
  div(x, sqrt(maximum(sum(mul(x, x), { axes: [-1], keepDims: true }), 1e-24)));
