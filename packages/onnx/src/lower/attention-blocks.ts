import type { Emitter, Value } from './emitter.ts';
import { product } from './matmul.ts';
import type { Scope } from './rule.ts';

/** Attributes of attention. */
export interface AttentionAttrs {
  readonly causal: boolean;
  readonly scale: number;
}

/** The parts that make the scores. */
export type ScoreInputs = Pick<Scope<'q' | 'k' | 'v', 'keyMask' | 'offset'>, 'g' | 'q' | 'k' | 'keyMask' | 'offset'>;

/** Queries [from, to), and the keys [0, keys) that any of them sees. */
export interface Block {
  readonly from: number;
  readonly to: number;
  readonly keys: number;
}

/** The value of a masked score: so low that its exponential is 0, and finite, so a row without any key does not become NaN. */
const masked = -1e30;

const smallestBlock = 64;
const mostBlocks = 8;

/**
 * Causal attention goes by blocks of queries, each over the keys up to its last one: the products shrink by up to half, and few masked
 * scores are left (ONNX Runtime's softmax takes twice as long where many are: their exponentials are denormal).
 */
export const blocksOf = ({ g, q, k, offset }: ScoreInputs, causal: boolean): readonly Block[] => {
  const [queries, keys] = [q.shape[2]!, k.shape[2]!];
  if (!causal || offset || keys < queries || g.sizesAreFree) return [{ from: 0, to: queries, keys }];
  const size = Math.ceil(queries / Math.min(mostBlocks, Math.max(1, Math.floor(queries / smallestBlock))));
  return Array.from({ length: Math.ceil(queries / size) }, (_, i) => {
    const to = Math.min(queries, (i + 1) * size);
    return { from: i * size, to, keys: to + keys - queries };
  });
};

/** Positions [from, to) of axis 2. */
export const part = (g: Emitter, x: Value, from: number, to: number): Value =>
  from === 0 && to === x.shape[2]
    ? x
    : g.node(
        'Slice',
        [x, g.ints([from]), g.ints([to]), g.ints([2])],
        x.shape.map((d, i) => (i === 2 ? to - from : d)),
      );

/** Rows of heads that share keys, under each other: [B, H, T, n] as [B, G, H/G·T, n]. */
export const grouped = (g: Emitter, x: Value, groups: number): Value =>
  g.reshape(x, [x.shape[0]!, groups, (x.shape[1]! / groups) * x.shape[2]!, x.shape[3]!]);

/** Whether a query sees a key: [t, keys], [B, 1, 1, 1, keys], both joined, or null for all. */
const visible = (
  { g, q, k, keyMask, offset }: ScoreInputs,
  causal: boolean,
  { from, to, keys }: Block,
): Value | null => {
  const batch = q.shape[0]!;
  const parts: Value[] = [];
  if (causal) {
    const shift = offset
      ? g.node('Add', [g.cast(offset, 'int64'), g.scalar(from, 'int64')], [])
      : g.scalar(from + k.shape[2]! - q.shape[2]!, 'int64');
    const limit = g.node('Add', [g.reshape(g.iota(to - from), [to - from, 1]), shift], [to - from, 1]);
    parts.push(g.node('LessOrEqual', [g.iota(keys), limit], [to - from, keys], {}, 'bool'));
  }
  if (keyMask) {
    const kept = g.node('Greater', [keyMask, g.scalar(0.5)], keyMask.shape, {}, 'bool');
    parts.push(g.reshape(part(g, g.reshape(kept, [batch, 1, k.shape[2]!]), 0, keys), [batch, 1, 1, 1, keys]));
  }
  return parts.length === 2 ? g.node('And', parts, [batch, 1, 1, to - from, keys]) : (parts[0] ?? null);
};

/** The scores of a block's rows, and of which rows something is seen. */
export interface Scores {
  /** scale·q·kᵀ, masked ones lowered: [B, G, H/G·t, keys]. */
  readonly scores: Value;
  /** 1 or 0, broadcasting to [B, G, H/G, t, 1]; null where every row sees something. */
  readonly sighted: Value | null;
}

/** The scores of one block. */
export const scoresOf = (t: ScoreInputs, { causal, scale }: AttentionAttrs, block: Block): Scores => {
  const { g, q, k, keyMask, offset } = t;
  const [batch, heads] = q.shape as [number, number];
  const groups = k.shape[1]!;
  const raw = product(g, grouped(g, part(g, q, block.from, block.to), groups), part(g, k, 0, block.keys), {
    transposeB: true,
    scale,
  });
  const mask = visible(t, causal, block);
  if (!mask) return { scores: raw, sighted: null };
  const full = [batch, groups, heads / groups, block.to - block.from, block.keys];
  const penalty = g.where(mask, g.scalar(0), g.scalar(masked), mask.shape);
  const scores = g.reshape(g.node('Add', [g.reshape(raw, full), penalty], full), raw.shape);
  const allSee = !keyMask && !offset && k.shape[2]! >= q.shape[2]!;
  return {
    scores,
    sighted: allSee
      ? null
      : g.node('ReduceMax', [g.cast(mask, 'float'), g.ints([-1])], [...mask.shape.slice(0, -1), 1], { keepdims: 1 }),
  };
};
