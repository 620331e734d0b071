import {
  add,
  broadcastTo,
  cast,
  concat,
  constant,
  greater,
  less,
  matmul,
  mul,
  reshape,
  select,
  slice,
  softmax,
  sub,
  type Tensor,
  tanh,
} from '@peftjs/tensor';
import { perQueryHead } from './documents.ts';
import { counting } from './position-rows.ts';

/** Scores that stand for −∞: their weights are 0 in f32. */
const hidden = -1e30;

/** How `biasedAttention` masks, scales and shifts. */
export interface BiasedAttentionOptions {
  /** Query t sees key s only when s ≤ t + first. */
  readonly causal: boolean;
  /** i32 []: the first query's row among the keys. Default keys − queries: theirs are the last. */
  readonly first?: Tensor | null;
  /** Default 1/√headDim. */
  readonly scale?: number;
  /** With `causal`: query t sees key s only when also s > t + first − window. */
  readonly window?: number;
  /** Scaled scores become softCap · tanh(score / softCap), before the bias. */
  readonly softCap?: number;
  /** f32 [batch, keys]: above ½ keeps a key. */
  readonly keyMask: Tensor | null;
  /** Without `causal`: query t sees key s only when |s − t − first| ≤ reach. */
  readonly reach?: number;
  /** f32 [batch, 1, queries, keys]: 1 where a query may look, as far as the rest allows. Default: everywhere. */
  readonly pairs?: Tensor | null;
  /** Added to the scaled scores: [1 or batch, heads, 1 or queries, keys]; null for none. */
  readonly bias: Tensor | null;
  /** f32 [heads]: a score of each head beside those of all keys, whose value is zeros. Default none. */
  readonly sinks?: Tensor | null;
}

/** Weights of scores [batch, heads, queries, keys], beside those of the heads' sinks where there are some. */
const weightsOf = (scores: Tensor, sinks: Tensor | null): Tensor => {
  if (!sinks) return softmax(scores);
  const [batch, heads, queries, keys] = scores.shape as readonly [number, number, number, number];
  const beside = broadcastTo(reshape(sinks, [1, heads, 1, 1]), [batch, heads, queries, 1]);
  return slice(softmax(concat(scores, beside, { axis: 3 })), { axis: 3, start: 0, end: keys });
};

/** f32 [1, 1, queries, keys], 1 where a query may look: at keys that are from `nearest` to `farthest` rows before it. */
const pairsFrom = (first: Tensor, queries: number, keys: number, nearest: number, farthest: number): Tensor => {
  const rows = add(reshape(counting(queries), [1, 1, queries, 1]), cast(first, { dtype: 'f32' }));
  const distance = sub(rows, counting(keys));
  const after = greater(distance, nearest - 0.5);
  return Number.isFinite(farthest) ? mul(after, less(distance, farthest + 0.5)) : after;
};

const capped = (scores: Tensor, softCap: number | undefined): Tensor =>
  softCap === undefined ? scores : mul(tanh(mul(scores, 1 / softCap)), softCap);

/**
 * softmax(cap(scale · q·kᵀ) + bias + mask) · v, with stored scores, where the bias has a gradient. q [batch, heads, queries, headDim]; k and v
 * [batch, heads or fewer that these share, keys, headDim]. A query that sees nothing yields zeros, as in `attention`.
 */
export const biasedAttention = (
  q: Tensor,
  k: Tensor,
  v: Tensor,
  {
    causal,
    first = null,
    scale = 1 / Math.sqrt(q.shape.at(-1)!),
    window = Number.POSITIVE_INFINITY,
    reach = Number.POSITIVE_INFINITY,
    softCap,
    keyMask,
    pairs = null,
    bias,
    sinks = null,
  }: BiasedAttentionOptions,
): Tensor => {
  const [batch, heads, queries] = q.shape as readonly [number, number, number, number];
  const keys = k.shape[2]!;
  const products = matmul(q, perQueryHead(k, heads), { transposeB: true });
  const own = capped(scale === 1 ? products : mul(products, scale), softCap);
  const scores = bias ? add(own, bias) : own;
  const isCut = causal ? queries > 1 || keys > window : keys > reach + 1;
  const from = first ?? (isCut ? constant(Int32Array.of(keys - queries), []) : null);
  const near = from && pairsFrom(from, queries, keys, causal ? 0 : -reach, causal ? window - 1 : reach);
  const kept = keyMask && reshape(greater(keyMask, 0.5), [batch, 1, 1, keys]);
  const masks = [near, kept, pairs].filter((mask) => mask !== null);
  const seen = masks.length > 0 ? masks.reduce((a, b) => mul(a, b)) : null;
  const values = perQueryHead(v, heads);
  if (!seen) return matmul(weightsOf(scores, sinks), values);
  return matmul(mul(weightsOf(select(seen, scores, hidden), sinks), seen), values);
};
