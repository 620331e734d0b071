import type { Emitter, Value } from './emitter.ts';
import { product } from './matmul.ts';
import type { Rule, Scope } from './rule.ts';

interface AttentionAttrs {
  readonly causal: boolean;
  readonly scale: number;
}

type Inputs = Pick<Scope<'q' | 'k' | 'v', 'keyMask' | 'offset'>, 'g' | 'q' | 'k' | 'keyMask' | 'offset'>;

/** What a masked score gets: so low that its exponential is 0, and finite, so a row without any key does not become NaN. */
const masked = -1e30;

/** Whether query t sees key s: [T, S], [B, 1, 1, 1, S], both joined, or null for all. */
const visible = ({ g, q, k, keyMask, offset }: Inputs, causal: boolean): Value | null => {
  const [batch, , queries] = q.shape as [number, number, number];
  const keys = k.shape[2]!;
  const parts: Value[] = [];
  if (causal) {
    const limit = g.node('Add', [g.reshape(g.iota(queries), [queries, 1]), offset ? g.cast(offset, 'int64') : g.scalar(keys - queries, 'int64')], [queries, 1]);
    parts.push(g.node('LessOrEqual', [g.iota(keys), limit], [queries, keys], {}, 'bool'));
  }
  if (keyMask) parts.push(g.reshape(g.node('Greater', [keyMask, g.scalar(0.5)], keyMask.shape, {}, 'bool'), [batch, 1, 1, 1, keys]));
  return parts.length === 2 ? g.node('And', parts, [batch, 1, 1, queries, keys]) : (parts[0] ?? null);
};

/** Queries of heads that share keys, under each other: [B, H, T, D] as [B, G, H/G·T, D]. */
const grouped = (g: Emitter, x: Value, k: Value): Value => g.reshape(x, [x.shape[0]!, k.shape[1]!, (x.shape[1]! / k.shape[1]!) * x.shape[2]!, x.shape[3]!]);

/** scale·q·kᵀ with masked scores lowered, [B, G, H/G·T, S], and what is visible. */
const maskedScores = (t: Inputs, { causal, scale }: AttentionAttrs): { readonly scores: Value; readonly mask: Value | null } => {
  const { g, q, k } = t;
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [groups, keys] = [k.shape[1]!, k.shape[2]!];
  const raw = product(g, grouped(g, q, k), k, { transposeB: true, scale });
  const mask = visible(t, causal);
  if (!mask) return { scores: raw, mask };
  const full = [batch, groups, heads / groups, queries, keys];
  const penalty = g.node('Where', [mask, g.scalar(0), g.scalar(masked)], mask.shape, {}, 'float');
  return { scores: g.reshape(g.node('Add', [g.reshape(raw, full), penalty], full), raw.shape), mask };
};

interface Weighed {
  readonly scores: Value;
  /** softmax of the scores; evenly spread in a row that sees nothing. */
  readonly spread: Value;
  /** The same, 0 in a row that sees nothing. */
  readonly weights: Value;
  /** Whether a row sees anything; null where all do. */
  readonly sighted: Value | null;
}

const weigh = (t: Inputs, attrs: AttentionAttrs): Weighed => {
  const { g, q, k, keyMask, offset } = t;
  const { scores, mask } = maskedScores(t, attrs);
  const spread = g.node('Softmax', [scores], scores.shape, { axis: -1 });
  const [batch, heads, queries] = q.shape as [number, number, number];
  const [groups, keys] = [k.shape[1]!, k.shape[2]!];
  if (!mask || (!keyMask && !offset && keys >= queries)) return { scores, spread, weights: spread, sighted: null };
  const full = [batch, groups, heads / groups, queries, keys];
  const sighted = g.node('ReduceMax', [g.cast(mask, 'float'), g.ints([-1])], [...mask.shape.slice(0, -1), 1], { keepdims: 1 });
  const weights = g.reshape(g.node('Mul', [g.reshape(spread, full), sighted], full), scores.shape);
  return { scores, spread, weights, sighted };
};

/** Out, and logSumExp = max − log(max weight), 0 for a row that sees nothing; unread, it costs nothing. */
export const attention: Rule<'q' | 'k' | 'v', AttentionAttrs, 'keyMask' | 'offset'> = (t, attrs) => {
  const { g, q, k, v, outs, isUsed } = t;
  if (k.shape[2] === 0) return outs.map((out) => g.zeros(out));
  const { scores, spread, weights, sighted } = weigh(t, attrs);
  const out = g.reshape(product(g, weights, v), q.shape);
  if (!isUsed(1)) return [out, null];
  const [batch, heads, queries] = q.shape as [number, number, number];
  const top = (x: Value): Value => g.node('ReduceMax', [x, g.ints([-1])], [...x.shape.slice(0, -1), 1], { keepdims: 1 });
  const sum = g.node('Sub', [top(scores), g.node('Log', [top(spread)], [...scores.shape.slice(0, -1), 1])], [...scores.shape.slice(0, -1), 1]);
  const byHead = g.reshape(sum, [batch, k.shape[1]!, heads / k.shape[1]!, queries, 1]);
  const seen = sighted ? g.node('Where', [g.cast(sighted, 'bool'), byHead, g.scalar(0)], byHead.shape, {}, 'float') : byHead;
  const logSumExp = g.reshape(seen, [batch, heads, queries]);
  g.weightsOf.set(logSumExp.name, weights);
  return [out, logSumExp];
};

/** exp(scores − logSumExp), 0 where a query does not see. */
const weighAgain = (t: Inputs & { readonly logSumExp: Value }, attrs: AttentionAttrs): Value => {
  const { g, logSumExp } = t;
  const { scores } = maskedScores(t, attrs);
  const perRow = g.reshape(logSumExp, [...scores.shape.slice(0, -1), 1]);
  return g.node('Exp', [g.node('Sub', [scores, perRow], scores.shape)], scores.shape);
};

/**
 * The weights are those of the forward pass where it is in the same graph, else made again from logSumExp. Heads that share keys sum
 * their gradients inside the products.
 */
export const attention_grad: Rule<'q' | 'k' | 'v' | 'y' | 'logSumExp' | 'dy', AttentionAttrs, 'keyMask' | 'offset'> = (t, attrs) => {
  const { g, q, k, v, y, logSumExp, dy, outs } = t;
  if (k.shape[2] === 0) return outs.map((out) => g.zeros(out));
  const weights = g.weightsOf.get(logSumExp.name) ?? weighAgain(t, attrs);
  const [rows, push] = [grouped(g, q, k), grouped(g, dy, k)];
  const pull = g.node('ReduceSum', [g.node('Mul', [push, grouped(g, y, k)], push.shape), g.ints([-1])], [...push.shape.slice(0, -1), 1], { keepdims: 1 });
  const dWeights = product(g, push, v, { transposeB: true });
  const dScores = g.node('Mul', [weights, g.node('Sub', [dWeights, pull], weights.shape)], weights.shape);
  const dq = g.reshape(product(g, dScores, k, { scale: attrs.scale }), q.shape);
  const dk = product(g, dScores, rows, { transposeA: true, scale: attrs.scale });
  return [dq, dk, product(g, weights, push, { transposeA: true })];
};

/** Angles by batch are one long table whose positions count on from batch to batch. */
export const rope: Rule<'x' | 'cos' | 'sin'> = ({ g, x, cos, sin }) => {
  const [batch, , tokens, headDim] = x.shape as [number, number, number, number];
  const byBatch = cos.shape.length === 3;
  const table = (t: Value): Value => g.reshape(t, [(byBatch ? batch : 1) * tokens, headDim / 2]);
  const positions = byBatch ? g.reshape(g.iota(batch * tokens), [batch, tokens]) : g.ints([0]);
  return g.node('com.microsoft.RotaryEmbedding', [x, positions, table(cos), table(sin)], x.shape);
};
