import {
  broadcastTo,
  constant,
  div,
  floor,
  greaterEqual,
  less,
  matmul,
  max,
  mul,
  reshape,
  select,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Call } from '@peftjs/transformer';
import { shownTokens, tokenRows } from './over-tokens.ts';

/** How the tokens of a part become one row. */
export type Pooling = 'average' | 'max';

/** f32 [count]: 0, 1, 2, … and a number. */
const counting = (count: number, from: number): Tensor =>
  constant(
    Float32Array.from({ length: count }, (_, i) => from + i),
    [1, count, 1],
  );

/** f32 [batch, m, tokens]: 1 where a token lies in a part. */
const inParts = (shown: Tensor, m: number): Tensor => {
  const [batch, tokens] = shown.shape as readonly [number, number, number];
  const before = constant(
    Float32Array.from({ length: tokens * tokens }, (_, i) => Number(i % tokens < Math.floor(i / tokens))),
    [tokens, tokens],
  );
  const place = reshape(matmul(before, shown), [batch, 1, tokens]); // among those that are shown
  const length = sum(shown, { axes: [1], keepDims: true }); // [batch, 1, 1]
  // Whole numbers are moved by ½ before they are divided, so that no rounding takes them below the next one.
  const part = (of: Tensor, add: number): Tensor => floor(div(sub(mul(of, length), -add - 0.5), m));
  const [start, end] = [part(counting(m, 0), 0), part(counting(m, 1), m - 1)]; // [batch, m, 1]
  return mul(mul(greaterEqual(place, start), less(place, end)), reshape(shown, [batch, 1, tokens]));
};

/**
 * m rows [batch, m, d] of each sequence's tokens [batch, tokens, d], as torch's AdaptiveAvgPool1d and AdaptiveMaxPool1d make them: row i is of the tokens ⌊i·n/m⌋ to ⌈(i + 1)·n/m⌉, the last left out, of the n that no
 * padding hides.
 */
export const adaptivePool = (x: Tensor, call: Call, m: number, pooling: Pooling): Tensor => {
  const own = tokenRows(x, call);
  const [batch, tokens, d] = own.shape as readonly [number, number, number];
  const shown = shownTokens(call) ?? constant(new Float32Array(batch * tokens).fill(1), [batch, tokens, 1]);
  const parts = inParts(shown, m);
  if (pooling === 'average') return div(matmul(parts, own), sum(parts, { axes: [2], keepDims: true }));
  const sizes = [batch, m, tokens, d];
  const seen = broadcastTo(reshape(parts, [batch, m, tokens, 1]), sizes);
  const each = broadcastTo(reshape(own, [batch, 1, tokens, d]), sizes);
  return max(select(seen, each, broadcastTo(constant(Float32Array.of(-1e30), []), sizes)), { axes: [2] });
};
