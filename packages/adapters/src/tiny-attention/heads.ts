import { glorotUniform, type Init, kaimingUniform, type Scope, uniform, zeros } from '@peftjs/core';
import {
  attention,
  broadcastTo,
  concat,
  constant,
  PeftError,
  sizeOf,
  slice,
  type Tensor,
  uniformValues,
} from '@peftjs/tensor';
import { affine, type Call, joinHeads, type Model, splitHeads } from '@peftjs/transformer';
import { norm } from '../bottleneck.ts';

/** The sizes of tiny attention: E = heads · headDim is its width. */
export interface TinySizes {
  readonly hiddenSize: number;
  readonly heads: number;
  readonly headDim: number;
}

/** PyTorch's first values of a linear layer's bias. */
const biasOf = (inDim: number): Init => uniform(1 / Math.sqrt(inDim));

/** U(−1/√in, 1/√in) / 100. */
const hundredth =
  (inDim: number): Init =>
  (shape, random) =>
    uniformValues(sizeOf(shape), -0.01 / Math.sqrt(inDim), 0.01 / Math.sqrt(inDim), random);

/**
 * f32 [batch, keys], 1 for tokens that may be seen; null where all may. Rows that methods put in front of the tokens are not: in a batch of several
 * adapters they may be another one's.
 */
const seenKeys = ({ pass, sequence: { mask, tokens, continues } }: Call, keys: number): Tensor | null => {
  if (!mask && (continues || keys === tokens)) return null;
  const filled = (value: number, columns: number): Tensor =>
    broadcastTo(constant(Float32Array.of(value), []), [pass.batch, columns]);
  const own = mask ?? filled(1, tokens);
  const front = keys - own.shape[1]!;
  return front === 0 ? own : concat(filled(0, front), own, { axis: 1 });
};

/** Attention of the heads of q over those of k and v, [batch, heads, rows, headDim], as far as their tower's rows see each other. */
const attendIn = (model: Model, name: string, q: Tensor, k: Tensor, v: Tensor, call: Call): Tensor => {
  const { pass, tower } = call;
  if (pass.inputs['documents'])
    throw new PeftError(
      'bad-option',
      'tinyAttention: its heads would see all documents of a row; give rows of one text each',
    );
  // A pass keeps keys of its main tower alone.
  const cache = tower.name === model.main.name ? pass.options.cache : undefined;
  const all = cache ? cache.append(name, { k, v }) : { k, v };
  const keyMask = seenKeys(call, all.k.shape[2]!);
  const offset = cache?.offset ?? null;
  return attention(q, all.k, all.v, {
    causal: tower.attends === 'before',
    ...(keyMask && { keyMask }),
    ...(offset && { offset }),
  });
};

/**
 * z(x) = W₂·MHA(W₁·norm(x) + b₁) + b₂ of x [batch, rows, d]: W₁ [3E, d] makes what `attention`, a multi-head attention of width E with projections
 * of its own (`in_proj_weight` [3E, E], `out_proj` [E, E]), takes as queries, keys and values. Biases of keys add the same to all scores of a
 * query, so they are left out, and stay as they begin.
 */
export const tinyHeads = (
  model: Model,
  scope: Scope,
  name: string,
  { hiddenSize: d, heads, headDim }: TinySizes,
): ((x: Tensor, call: Call) => Tensor) => {
  const e = heads * headDim;
  const before = norm(scope, 'norm', d);
  const first = scope.param('linear1.weight', [3 * e, d], kaimingUniform);
  const firstBias = scope.param('linear1.bias', [3 * e], biasOf(d));
  const inner = scope.param('attention.in_proj_weight', [3 * e, e], glorotUniform());
  const innerBias = scope.param('attention.in_proj_bias', [3 * e], zeros);
  const out = scope.param('attention.out_proj.weight', [e, e], kaimingUniform);
  const outBias = scope.param('attention.out_proj.bias', [e], zeros);
  const last = scope.param('linear2.weight', [d, e], hundredth(e));
  const lastBias = scope.param('linear2.bias', [d], hundredth(e));
  const third = (t: Tensor, i: number): Tensor => slice(t, { axis: 0, start: i * e, end: (i + 1) * e });
  return (x, call) => {
    const normed = before(x);
    const part = (i: number): Tensor => {
      const bias = (t: Tensor): Tensor | null => (i === 1 ? null : third(t, i));
      const low = affine(normed, { weight: third(first, i), bias: bias(firstBias) });
      return splitHeads(affine(low, { weight: third(inner, i), bias: bias(innerBias) }), headDim);
    };
    const attended = joinHeads(attendIn(model, name, part(0), part(1), part(2), call));
    return affine(affine(attended, { weight: out, bias: outBias }), { weight: last, bias: lastBias });
  };
};
