import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { constant } from '../graph.ts';
import { type Spec, sameShape, shapeError } from '../shape.ts';
import { attentionGradOp } from './attention-grad.ts';
import { attentionSamples } from './attention-samples.ts';
import {
  type AttentionAttrs,
  attentionSizes,
  cappedScore,
  checkAttention,
  maxHeadDim,
  pairsOf,
  visibility,
} from './attention-spec.ts';
import { broadcastTo } from './broadcast-to.ts';
import { concat } from './concat.ts';
import { mul } from './mul.ts';
import { neg } from './neg.ts';
import { pad } from './pad.ts';
import { reshape } from './reshape.ts';
import { sigmoid } from './sigmoid.ts';
import { slice } from './slice.ts';
import { sub } from './sub.ts';

/** Columns that carry the gradient of logSumExp: as many as keep rows aligned to four. */
const carried = 4;

/** Rows with further columns behind: the first holds one value each, the others zeros. */
const withColumn = (rows: Tensor, column: Tensor): Tensor =>
  concat(rows, pad(reshape(column, [...column.shape, 1]), { axis: -1, before: 0, after: carried - 1 }), { axis: -1 });

/** The record behind `attention`: outputs [out like q, logSumExp [batch, heads, queries]] (0 where a query sees nothing). */
export const attentionOp: Op<
  'attention',
  readonly ['q', 'k', 'v'],
  readonly ['keyMask', 'offset'],
  AttentionAttrs,
  readonly [Spec, Spec]
> = defineOp({
  name: 'attention',
  inputs: ['q', 'k', 'v'],
  optional: ['keyMask', 'offset'],
  infer: (specs, attrs): readonly [Spec, Spec] => {
    const { batch, heads, queries } = checkAttention('attention', specs, attrs);
    return [
      { shape: specs.q.shape, dtype: 'f32' },
      { shape: [batch, heads, queries], dtype: 'f32' },
    ];
  },
  vjp: ({ q, k, v, keyMask = null, offset = null, outs, dys: [dy, dSum] }, attrs) => {
    const [y, logSumExp] = outs as readonly [Tensor, Tensor];
    const own = dy ?? broadcastTo(constant(Float32Array.of(0), []), q.shape);
    if (!dSum) {
      const [dq, dk, dv] = attentionGradOp(q, k, v, y, logSumExp, own, keyMask, offset, attrs);
      return { q: dq, k: dk, v: dv };
    }
    if (q.shape[3]! + carried > maxHeadDim)
      throw shapeError('attention', [q], `sinks have a gradient for a headDim of at most ${maxHeadDim - carried}`);
    // ds = w ∘ (dy·vᵀ − Σ(dy ∘ y) + dSum): a column of ones in y, −dSum in dy and zeros in all else make it of the same sums.
    const wide = (x: Tensor): Tensor => pad(x, { axis: -1, before: 0, after: carried });
    const ones = broadcastTo(constant(Float32Array.of(1), []), logSumExp.shape);
    const grads = attentionGradOp(
      wide(q),
      wide(k),
      wide(v),
      withColumn(y, ones),
      logSumExp,
      withColumn(own, neg(dSum)),
      keyMask,
      offset,
      attrs,
    );
    const [dq, dk, dv] = grads.map((x) => slice(x, { axis: -1, start: 0, end: q.shape[3]! }));
    return { q: dq!, k: dk!, v: dv! };
  },
  reference: ({ q, k, v, keyMask, offset }, specs, attrs) => {
    const sizes = attentionSizes(specs);
    const { batch, heads, groups, queries, keys, headDim } = sizes;
    const sees = visibility(sizes, attrs, keyMask, offset);
    const out = new Float64Array(q.length);
    const logSumExp = new Float64Array(batch * heads * queries);
    for (let row = 0; row < logSumExp.length; row++) {
      const [t, h, b] = [row % queries, Math.floor(row / queries) % heads, Math.floor(row / queries / heads)];
      const keyRow = (s: number): number => ((b * groups + Math.floor((h * groups) / heads)) * keys + s) * headDim;
      const seen = Array.from({ length: keys }, (_, s) => s).filter((s) => sees(b, t, s));
      if (seen.length === 0) continue;
      const scores = seen.map((s) => {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += q[row * headDim + d]! * k[keyRow(s) + d]!;
        return cappedScore(dot * attrs.scale, attrs);
      });
      const top = scores.reduce((a, c) => Math.max(a, c));
      logSumExp[row] = top + Math.log(scores.reduce((a, c) => a + Math.exp(c - top), 0));
      seen.forEach((s, i) => {
        const weight = Math.exp(scores[i]! - logSumExp[row]!);
        for (let d = 0; d < headDim; d++) out[row * headDim + d]! += weight * v[keyRow(s) + d]!;
      });
    }
    return [out, logSumExp];
  },
  flops: (specs, attrs) => pairsOf(specs, attrs) * (4 * attentionSizes(specs).headDim + 5),
  samples: attentionSamples,
});

/** How attention masks and scales. */
export interface AttentionOptions {
  /** Query t sees key s only when s ≤ t + offset. */
  readonly causal: boolean;
  /** Factor of the scores. Default 1/√headDim. */
  readonly scale?: number;
  /** With `causal`: query t sees key s only when also s > t + offset − window, so `window` keys at most. Default all. */
  readonly window?: number;
  /** Scaled scores become softCap · tanh(score / softCap). Default: they stay as they are. */
  readonly softCap?: number;
  /** f32 [batch, keys]: above ½ keeps a key, else no query sees it. No gradient flows here. */
  readonly keyMask?: Tensor | null;
  /** i32 scalar. Default keys − queries: what comes first in the keys (a prefix, a cache) is the past. */
  readonly offset?: Tensor | null;
  /** f32 [heads]: a score of each head that stands beside those of all keys and whose value is zeros, so a row's weights sum to less than 1. Default none. */
  readonly sinks?: Tensor | null;
}

/** Rows of attention with a score s of each head beside the others: each times e^L / (e^L + e^s), L the log-sum-exp of its own scores. */
const withSinks = (rows: Tensor, logSumExp: Tensor, sinks: Tensor): Tensor => {
  const heads = logSumExp.shape[1]!;
  if (!sameShape(sinks.shape, [heads])) throw shapeError('attention', [sinks], `sinks must be [${heads}]`);
  const kept = sigmoid(sub(logSumExp, reshape(sinks, [1, heads, 1])));
  return mul(rows, reshape(kept, [...kept.shape, 1]));
};

/**
 * softmax(cap(scale · q·kᵀ) + mask) · v, without storing the scores. q [batch, heads, queries, headDim]; k and v [batch, groups, keys, headDim],
 * heads a multiple of groups, each shared by heads/groups neighbours. A query that sees nothing yields zeros.
 * Vaswani et al., 2017, https://arxiv.org/abs/1706.03762; streaming softmax: Dao et al., 2022, https://arxiv.org/abs/2205.14135; windows: Beltagy
 * et al., 2020, https://arxiv.org/abs/2004.05150; caps: Gemma Team, 2024, https://arxiv.org/abs/2408.00118; sinks, with a gradient for a headDim up to
 * 252: Xiao et al., 2023, https://arxiv.org/abs/2309.17453, OpenAI, 2025, https://arxiv.org/abs/2508.10925.
 * Throws `bad-shape`, `bad-dtype`, `bad-option`.
 */
export const attention = (
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { causal, scale, window, softCap, keyMask = null, offset = null, sinks = null }: AttentionOptions,
): Tensor => {
  const [rows, logSumExp] = attentionOp(q, k, v, keyMask, offset, {
    causal,
    scale: scale ?? 1 / Math.sqrt(q.shape.at(-1)!),
    ...(window !== undefined && { window }),
    ...(softCap !== undefined && { softCap }),
  });
  return sinks ? withSinks(rows, logSumExp, sinks) : rows;
};
