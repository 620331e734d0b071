import type { AttentionAttrs } from '@peftjs/tensor/executor';
import {
  type Block,
  blocksOf,
  grouped,
  part,
  type ScoreInputs,
  type Scores,
  scoreShape,
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
  const { g } = t;
  const { scores, bent, sighted } = scoresOf(t, attrs, block);
  const spread = g.node('Softmax', [scores], scores.shape, { axis: -1 });
  if (!sighted) return { scores, bent, sighted, spread, weights: spread };
  const full = scoreShape(t, block);
  return {
    scores,
    bent,
    sighted,
    spread,
    weights: g.reshape(g.node('Mul', [g.reshape(spread, full), sighted], full), scores.shape),
  };
};

/** max − log(max weight) by row, 0 in a row that sees nothing: [B, H, t]. */
const logSumExpOf = (t: ScoreInputs, { scores, spread, sighted }: Weights, block: Block): Value => {
  const { g, q } = t;
  const perRow = [...scores.shape.slice(0, -1), 1];
  const top = (x: Value): Value => g.node('ReduceMax', [x, g.ints([-1])], perRow, { keepdims: 1 });
  const sum = g.node('Sub', [top(scores), g.node('Log', [top(spread)], perRow)], perRow);
  const [batch, heads] = q.shape as [number, number];
  const byHead = g.reshape(sum, [...scoreShape(t, block).slice(0, -1), 1]);
  const seen = sighted ? g.where(g.cast(sighted, 'bool'), byHead, g.scalar(0), byHead.shape) : byHead;
  return g.reshape(seen, [batch, heads, block.to - block.from]);
};

/** Block by block of queries; what nobody reads of logSumExp costs nothing. */
export const attention: Rule<'q' | 'k' | 'v', AttentionAttrs, 'keyMask' | 'offset'> = (t, attrs) => {
  const { g, q, k, v, outs } = t;
  if (k.shape[2] === 0) return outs.map((out) => g.zeros(out));
  const blocks = blocksOf(t, attrs).map((block) => ({ block, made: weigh(t, attrs, block) }));
  const [batch, heads, , headDim] = q.shape as [number, number, number, number];
  const rows = blocks.map(({ block, made }) =>
    g.reshape(product(g, made.weights, part(g, v, block.first, block.last)), [
      batch,
      heads,
      block.to - block.from,
      headDim,
    ]),
  );
  const logSumExp = join(
    g,
    blocks.map(({ block, made }) => logSumExpOf(t, made, block)),
    outs[1]!.shape,
  );
  g.weightsOf.set(
    logSumExp.name,
    blocks.map(({ made: { weights, bent } }) => ({ weights, bent })),
  );
  return [join(g, rows, q.shape), logSumExp];
};

/** exp(scores − logSumExp), 0 where a query does not see, and what the cap left. */
const weighAgain = (
  t: ScoreInputs & { readonly logSumExp: Value },
  attrs: AttentionAttrs,
  block: Block,
): Pick<Weights, 'weights' | 'bent'> => {
  const { g, logSumExp } = t;
  const { scores, bent } = scoresOf(t, attrs, block);
  const perRow = g.reshape(part(g, logSumExp, block.from, block.to), [...scores.shape.slice(0, -1), 1]);
  return { weights: g.node('Exp', [g.node('Sub', [scores, perRow], scores.shape)], scores.shape), bent };
};

/** Σ over blocks of the gradients of their keys, at their places among `keys`. Sums of blocks that begin at the first key grow with them. */
const sumOverKeys = (g: Emitter, parts: readonly Value[], blocks: readonly Block[], keys: number): Value => {
  const wide = blocks.every(({ first }) => first === 0);
  const padded = (x: Value, before: number, after: number): Value => {
    const shape = x.shape.map((d, i) => (i === 2 ? before + d + after : d));
    return before + after === 0 ? x : g.node('Pad', [x, g.ints([0, 0, before, 0, 0, 0, after, 0])], shape);
  };
  const placed = wide ? parts : parts.map((x, i) => padded(x, blocks[i]!.first, keys - blocks[i]!.last));
  return placed.reduce((sum, x) => g.node('Add', [x, padded(sum, 0, x.shape[2]! - sum.shape[2]!)], x.shape));
};

/** The gradient of scores before the cap: times 1 − tanh². */
const unbend = (g: Emitter, dScores: Value, bent: Value | null): Value => {
  if (!bent) return dScores;
  const square = g.node('Mul', [bent, bent], bent.shape);
  return g.node('Mul', [dScores, g.node('Sub', [g.scalar(1), square], bent.shape)], bent.shape);
};

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
  const blocks = blocksOf(t, attrs);
  const grads = blocks.map((block, i) => {
    const rowsOf = (x: Value): Value => grouped(g, part(g, x, block.from, block.to), groups);
    const keysOf = (x: Value): Value => part(g, x, block.first, block.last);
    const { weights, bent } = known?.[i] ?? weighAgain(t, attrs, block);
    const push = rowsOf(dy);
    const dWeights = product(g, push, keysOf(v), { transposeB: true });
    const pushed = g.node('Mul', [weights, g.node('Sub', [dWeights, rowsOf(pull)], weights.shape)], weights.shape);
    const dScores = unbend(g, pushed, bent);
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
      blocks,
      k.shape[2]!,
    ),
    sumOverKeys(
      g,
      grads.map((b) => b.dv),
      blocks,
      k.shape[2]!,
    ),
  ];
};
