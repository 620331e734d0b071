import {
  type AttentionAttrs,
  type Block,
  blocksOf,
  grouped,
  part,
  type ScoreInputs,
  type Scores,
  scoresOf,
} from './attention-blocks.ts';
import type { Emitter, Value } from './emitter.ts';
import { product } from './matmul.ts';
import type { Rule } from './rule.ts';

const join = (g: Emitter, parts: readonly Value[], shape: readonly number[]): Value =>
  parts.length === 1 ? parts[0]! : g.node('Concat', parts, shape, { axis: 2 });

interface Weights extends Scores {
  /** softmax of the scores; evenly spread in a row that sees nothing. */
  readonly spread: Value;
  /** The same, 0 in a row that sees nothing. */
  readonly weights: Value;
}

const weigh = (t: ScoreInputs, attrs: AttentionAttrs, block: Block): Weights => {
  const { g, q, k } = t;
  const { scores, sighted } = scoresOf(t, attrs, block);
  const spread = g.node('Softmax', [scores], scores.shape, { axis: -1 });
  if (!sighted) return { scores, sighted, spread, weights: spread };
  const full = [q.shape[0]!, k.shape[1]!, q.shape[1]! / k.shape[1]!, block.to - block.from, block.keys];
  return {
    scores,
    sighted,
    spread,
    weights: g.reshape(g.node('Mul', [g.reshape(spread, full), sighted], full), scores.shape),
  };
};

/** max − log(max weight) by row, 0 in a row that sees nothing: [B, H, t]. */
const logSumExpOf = ({ g, q, k }: ScoreInputs, { scores, spread, sighted }: Weights, { from, to }: Block): Value => {
  const perRow = [...scores.shape.slice(0, -1), 1];
  const top = (x: Value): Value => g.node('ReduceMax', [x, g.ints([-1])], perRow, { keepdims: 1 });
  const sum = g.node('Sub', [top(scores), g.node('Log', [top(spread)], perRow)], perRow);
  const [batch, heads] = q.shape as [number, number];
  const byHead = g.reshape(sum, [batch, k.shape[1]!, heads / k.shape[1]!, to - from, 1]);
  const seen = sighted ? g.where(g.cast(sighted, 'bool'), byHead, g.scalar(0), byHead.shape) : byHead;
  return g.reshape(seen, [batch, heads, to - from]);
};

/** Block by block of queries; what nobody reads of logSumExp costs nothing. */
export const attention: Rule<'q' | 'k' | 'v', AttentionAttrs, 'keyMask' | 'offset'> = (t, attrs) => {
  const { g, q, k, v, outs } = t;
  if (k.shape[2] === 0) return outs.map((out) => g.zeros(out));
  const blocks = blocksOf(t, attrs.causal).map((block) => ({ block, made: weigh(t, attrs, block) }));
  const [batch, heads, , headDim] = q.shape as [number, number, number, number];
  const rows = blocks.map(({ block, made }) =>
    g.reshape(product(g, made.weights, part(g, v, 0, block.keys)), [batch, heads, block.to - block.from, headDim]),
  );
  const logSumExp = join(
    g,
    blocks.map(({ block, made }) => logSumExpOf(t, made, block)),
    outs[1]!.shape,
  );
  g.weightsOf.set(
    logSumExp.name,
    blocks.map(({ made }) => made.weights),
  );
  return [join(g, rows, q.shape), logSumExp];
};

/** exp(scores − logSumExp), 0 where a query does not see. */
const weighAgain = (t: ScoreInputs & { readonly logSumExp: Value }, attrs: AttentionAttrs, block: Block): Value => {
  const { g, logSumExp } = t;
  const { scores } = scoresOf(t, attrs, block);
  const perRow = g.reshape(part(g, logSumExp, block.from, block.to), [...scores.shape.slice(0, -1), 1]);
  return g.node('Exp', [g.node('Sub', [scores, perRow], scores.shape)], scores.shape);
};

/** Σ of gradients of the keys [0, n) of each block, longer ones later. */
const sumOverKeys = (g: Emitter, parts: readonly Value[]): Value =>
  parts.reduce((sum, x) => {
    const missing = x.shape[2]! - sum.shape[2]!;
    return g.node('Add', [x, g.node('Pad', [sum, g.ints([0, 0, 0, 0, 0, 0, missing, 0])], x.shape)], x.shape);
  });

/**
 * The weights are those of the forward pass where it is in the same graph, else made again from logSumExp. Heads that share keys sum
 * their gradients inside the products.
 */
export const attention_grad: Rule<'q' | 'k' | 'v' | 'y' | 'logSumExp' | 'dy', AttentionAttrs, 'keyMask' | 'offset'> = (
  t,
  attrs,
) => {
  const { g, q, k, v, y, logSumExp, dy, outs } = t;
  if (k.shape[2] === 0) return outs.map((out) => g.zeros(out));
  const groups = k.shape[1]!;
  const known = g.weightsOf.get(logSumExp.name);
  const pull = g.node('ReduceSum', [g.node('Mul', [dy, y], dy.shape), g.ints([-1])], [...dy.shape.slice(0, -1), 1], {
    keepdims: 1,
  });
  const grads = blocksOf(t, attrs.causal).map((block, i) => {
    const rowsOf = (x: Value): Value => grouped(g, part(g, x, block.from, block.to), groups);
    const keysOf = (x: Value): Value => part(g, x, 0, block.keys);
    const weights = known?.[i] ?? weighAgain(t, attrs, block);
    const push = rowsOf(dy);
    const dWeights = product(g, push, keysOf(v), { transposeB: true });
    const dScores = g.node('Mul', [weights, g.node('Sub', [dWeights, rowsOf(pull)], weights.shape)], weights.shape);
    return {
      dq: g.reshape(product(g, dScores, keysOf(k), { scale: attrs.scale }), part(g, q, block.from, block.to).shape),
      dk: product(g, dScores, rowsOf(q), { transposeA: true, scale: attrs.scale }),
      dv: product(g, weights, push, { transposeA: true }),
    };
  });
  return [
    join(
      g,
      grads.map((b) => b.dq),
      q.shape,
    ),
    sumOverKeys(
      g,
      grads.map((b) => b.dk),
    ),
    sumOverKeys(
      g,
      grads.map((b) => b.dv),
    ),
  ];
};
