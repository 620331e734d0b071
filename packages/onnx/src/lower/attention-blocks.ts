import type { AttentionAttrs } from '@peftjs/tensor/executor';
import type { Emitter, Value } from './emitter.ts';
import { product } from './matmul.ts';
import type { Scope } from './rule.ts';
import { range } from './shape.ts';

/** The parts that make the scores. */
export type ScoreInputs = Pick<Scope<'q' | 'k' | 'v', 'keyMask' | 'offset'>, 'g' | 'q' | 'k' | 'keyMask' | 'offset'>;

/** Queries [from, to), and the keys [first, last) that any of them sees. */
export interface Block {
  readonly from: number;
  readonly to: number;
  readonly first: number;
  readonly last: number;
}

/** How many keys a block has. */
const keysIn = ({ first, last }: Block): number => last - first;

/** The value of a masked score: so low that its exponential is 0, and finite, so a row without any key does not become NaN. */
const masked = -1e30;

const smallestBlock = 64;
const mostBlocks = 8;

/**
 * Causal attention goes by blocks of queries, each over the keys from the window of its first one up to its last one: the products shrink by up to
 * half, or to the windows, and few masked scores are left (ONNX Runtime's softmax takes twice as long where many are: their exponentials are denormal).
 */
export const blocksOf = (
  { g, q, k, offset }: ScoreInputs,
  { causal, window = Number.POSITIVE_INFINITY }: AttentionAttrs,
): readonly Block[] => {
  const [queries, keys] = [q.shape[2]!, k.shape[2]!];
  if (!causal || offset || keys < queries || g.sizesAreFree) return [{ from: 0, to: queries, first: 0, last: keys }];
  const size = Math.ceil(queries / Math.min(mostBlocks, Math.max(1, Math.floor(queries / smallestBlock))));
  return Array.from({ length: Math.ceil(queries / size) }, (_, i) => {
    const to = Math.min(queries, (i + 1) * size);
    const last = to + keys - queries;
    return { from: i * size, to, first: Math.max(0, i * size + keys - queries + 1 - window), last };
  });
};

/** Positions [from, to) of axis 2. */
export const part = (g: Emitter, x: Value, from: number, to: number): Value => range(g, x, 2, from, to);

/** Rows of heads that share keys, under each other: [B, H, T, n] as [B, G, H/G·T, n]. */
export const grouped = (g: Emitter, x: Value, groups: number): Value =>
  g.reshape(x, [x.shape[0]!, groups, (x.shape[1]! / groups) * x.shape[2]!, x.shape[3]!]);

/**
 * The shape of a block's scores to which a mask of rows by keys broadcasts: [B, G, H/G, t, keys], and where heads share no keys, or a single query
 * is asked for, the scores' own, which spares reshapes.
 */
export const scoreShape = ({ g, q, k }: ScoreInputs, block: Block): readonly number[] => {
  const [batch, heads] = q.shape as [number, number];
  const [groups, t] = [k.shape[1]!, block.to - block.from];
  const each = heads / groups;
  const isFlat = each === 1 || (t === 1 && !g.sizesAreFree);
  return isFlat ? [batch, groups, each * t, keysIn(block)] : [batch, groups, each, t, keysIn(block)];
};

/** Whether a query sees a key: [t, keys], [B, 1, .., keys] of as many axes as `scoreShape`, both joined, or null for all. */
const visible = (t: ScoreInputs, { causal, window }: AttentionAttrs, block: Block): Value | null => {
  const { g, q, k, keyMask, offset } = t;
  const { from, to, first, last } = block;
  const keys = keysIn(block);
  const batch = q.shape[0]!;
  const leading = scoreShape(t, block)
    .slice(0, -2)
    .map((_, i) => (i === 0 ? batch : 1));
  const parts: Value[] = [];
  if (causal) {
    const shift = offset
      ? g.node('Add', [g.cast(offset, 'int64'), g.scalar(from, 'int64')], [])
      : g.scalar(from + k.shape[2]! - q.shape[2]! - first, 'int64');
    const limit = g.node('Add', [g.reshape(g.iota(to - from), [to - from, 1]), shift], [to - from, 1]);
    const [places, shape] = [g.iota(keys), [to - from, keys]];
    const past = g.node('LessOrEqual', [places, limit], shape, {}, 'bool');
    if (window !== undefined && (offset || g.sizesAreFree || keys > window)) {
      const start = g.node('Sub', [limit, g.scalar(window, 'int64')], limit.shape);
      parts.push(g.node('And', [past, g.node('Greater', [places, start], shape, {}, 'bool')], shape));
    } else parts.push(past);
  }
  if (keyMask) {
    const kept = g.node('Greater', [keyMask, g.scalar(0.5)], keyMask.shape, {}, 'bool');
    parts.push(g.reshape(part(g, g.reshape(kept, [batch, 1, k.shape[2]!]), first, last), [...leading, 1, keys]));
  }
  return parts.length === 2 ? g.node('And', parts, [...leading, to - from, keys]) : (parts[0] ?? null);
};

/** The scores of a block's rows, and of which rows something is seen. */
export interface Scores {
  /** scale·q·kᵀ, capped, masked ones lowered: [B, G, H/G·t, keys]. */
  readonly scores: Value;
  /** tanh(scale·q·kᵀ / softCap), by which the gradient of a capped score is known; null without a cap. */
  readonly bent: Value | null;
  /** 1 or 0, broadcasting to `scoreShape`; null where every row sees something. */
  readonly sighted: Value | null;
}

/** The scores of one block. */
export const scoresOf = (t: ScoreInputs, attrs: AttentionAttrs, block: Block): Scores => {
  const { g, q, k, keyMask, offset } = t;
  const { scale, softCap } = attrs;
  const groups = k.shape[1]!;
  const plain = product(g, grouped(g, part(g, q, block.from, block.to), groups), part(g, k, block.first, block.last), {
    transposeB: true,
    scale: softCap === undefined ? scale : scale / softCap,
  });
  const bent = softCap === undefined ? null : g.node('Tanh', [plain], plain.shape);
  const raw = bent ? g.node('Mul', [bent, g.scalar(softCap!)], plain.shape) : plain;
  const mask = visible(t, attrs, block);
  if (!mask) return { scores: raw, bent, sighted: null };
  const full = scoreShape(t, block);
  const penalty = g.where(mask, g.scalar(0), g.scalar(masked), mask.shape);
  const scores = g.reshape(g.node('Add', [g.reshape(raw, full), penalty], full), raw.shape);
  const allSee = !keyMask && !offset && k.shape[2]! >= q.shape[2]!;
  return {
    scores,
    bent,
    sighted: allSee
      ? null
      : g.node('ReduceMax', [g.cast(mask, 'float'), g.ints([-1])], [...mask.shape.slice(0, -1), 1], { keepdims: 1 }),
  };
};
