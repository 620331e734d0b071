import type { Sample } from '../define-op.ts';
import type { Shape } from '../shape.ts';
import type { AttentionAttrs } from './attention-spec.ts';

type Inputs = 'q' | 'k' | 'v' | 'keyMask' | 'offset';

interface Case {
  readonly q: Shape;
  readonly kv: Shape;
  readonly causal?: boolean;
  /** Whether batch b keeps key s. */
  readonly keep?: (b: number, s: number) => boolean;
  readonly offset?: number;
  readonly window?: number;
  readonly softCap?: number;
}

const cases: readonly Case[] = [
  { q: [2, 3, 5, 6], kv: [2, 3, 5, 6] },
  { q: [1, 2, 37, 16], kv: [1, 2, 37, 16], causal: true },
  { q: [2, 4, 9, 8], kv: [2, 2, 41, 8], causal: true },
  { q: [2, 6, 70, 20], kv: [2, 1, 70, 20], causal: true, keep: (b, s) => s >= 3 + 40 * b },
  { q: [2, 2, 4, 7], kv: [2, 2, 6, 7], keep: (b, s) => b === 0 && s % 2 === 0 },
  { q: [1, 2, 40, 64], kv: [1, 1, 33, 64], causal: true },
  { q: [1, 4, 3, 36], kv: [1, 2, 50, 36], causal: true, offset: 11 },
  { q: [1, 1, 5, 4], kv: [1, 1, 5, 4], causal: true, offset: -2 },
  { q: [1, 2, 1, 32], kv: [1, 1, 45, 32], causal: true, offset: 20, keep: (_, s) => s !== 7 },
  { q: [1, 1, 12, 130], kv: [1, 1, 12, 130], causal: true },
  { q: [1, 1, 9, 256], kv: [1, 1, 35, 256] },
  { q: [1, 2, 37, 16], kv: [1, 2, 37, 16], causal: true, window: 5 },
  { q: [1, 2, 140, 8], kv: [1, 1, 153, 8], causal: true, window: 20 },
  { q: [2, 6, 70, 20], kv: [2, 1, 70, 20], causal: true, window: 33, softCap: 0.7, keep: (b, s) => s >= 3 + 40 * b },
  { q: [1, 2, 9, 8], kv: [1, 1, 9, 8], causal: true, window: 1 },
  { q: [1, 1, 9, 6], kv: [1, 1, 4, 6], causal: true, window: 3, softCap: 1.5 },
  { q: [1, 4, 3, 36], kv: [1, 2, 50, 36], causal: true, offset: 40, window: 6 },
  { q: [1, 2, 1, 32], kv: [1, 1, 45, 32], causal: true, offset: 20, window: 64, keep: (_, s) => s !== 7 },
  { q: [1, 2, 40, 64], kv: [1, 1, 33, 64], softCap: 0.4 },
  { q: [1, 1, 12, 130], kv: [1, 1, 12, 130], causal: true, softCap: 50 },
  { q: [1, 2, 3, 4], kv: [1, 2, 0, 4] },
  { q: [0, 2, 3, 4], kv: [0, 2, 3, 4], causal: true },
];

const sampleOf = ({ q, kv, causal = false, keep, offset, window, softCap }: Case): Sample<Inputs, AttentionAttrs> => ({
  shapes: { q, k: kv, v: kv, ...(keep && { keyMask: [q[0]!, kv[2]!] }), ...(offset !== undefined && { offset: [] }) },
  attrs: {
    causal,
    scale: 1.5 / Math.sqrt(q[3]!),
    ...(window !== undefined && { window }),
    ...(softCap !== undefined && { softCap }),
  },
  ...(offset !== undefined && { dtypes: { offset: 'i32' as const } }),
  values: {
    ...(keep && { keyMask: (i: number) => (keep(Math.floor(i / kv[2]!), i % kv[2]!) ? 1 : 0) }),
    ...(offset !== undefined && { offset: () => offset }),
  },
});

/** Samples of attention: odd sizes, grouped heads, more keys than queries and fewer, padding, a batch that sees nothing, offsets, windows, caps, empty ones. */
export const attentionSamples: readonly Sample<Inputs, AttentionAttrs>[] = cases.map(sampleOf);

/** The same with an output and its gradient. Scores are about −1 to 1, so these logSumExp make weights that matter. */
export const attentionGradSamples: readonly Sample<Inputs | 'y' | 'logSumExp' | 'dy', AttentionAttrs>[] = cases.map(
  (c) => {
    const { shapes, ...rest } = sampleOf(c);
    return {
      ...rest,
      shapes: { ...shapes, y: c.q, dy: c.q, logSumExp: c.q.slice(0, 3) },
      ranges: { logSumExp: [0.5, 1.5] as const },
    };
  },
);
