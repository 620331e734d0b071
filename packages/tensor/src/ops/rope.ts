import { defineOp, lift, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import type { Kernel } from '../kernel.ts';
import { type Spec, sameShape, shapeError, sizeOf, stridesOf } from '../shape.ts';
import { broadcastTo } from './broadcast-to.ts';
import { expectF32 } from './expect.ts';
import { mul } from './mul.ts';
import { neg } from './neg.ts';
import { reshape } from './reshape.ts';
import { sum } from './sum.ts';
import { unbroadcast } from './unbroadcast.ts';

/** Which way the rotation goes. */
export interface RopeAttrs {
  /** By −angle: the transpose of the rotation, and its gradient. Default false. */
  readonly inverse?: boolean;
}

const infer = ({ x, cos, sin }: { readonly x: Spec; readonly cos: Spec; readonly sin: Spec }): Spec => {
  expectF32('rope', { x, cos, sin });
  const [batch, , tokens, headDim] = x.shape;
  if (x.shape.length !== 4 || headDim! % 2 !== 0)
    throw shapeError('rope', [x], 'x must be [batch, heads, tokens, headDim] with an even headDim');
  const angles = [tokens!, headDim! / 2];
  if (!sameShape(cos.shape, sin.shape) || !(sameShape(cos.shape, angles) || sameShape(cos.shape, [batch!, ...angles])))
    throw shapeError('rope', [x, cos, sin], `cos and sin must both be [${angles}] or [${[batch!, ...angles]}]`);
  return { shape: x.shape, dtype: x.dtype };
};

const outerStrides = (name: string, [batch, head, token]: readonly number[]): Record<string, number> => ({
  [`${name}Batch`]: batch!,
  [`${name}Head`]: head!,
  [`${name}Token`]: token!,
});

const kernel: Kernel<'x' | 'cos' | 'sin', RopeAttrs> = {
  kind: 'dispatch',
  emits: true,
  strided: ['x', 'out0'],
  plan: ({ inputs: { x, cos }, strides }, { inverse = false }) => {
    const [batch, heads, tokens, headDim] = x!.shape as [number, number, number, number];
    const pairs = sizeOf(x!.shape) / 2;
    const wgsl = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.pairs) { return; }
  let d = i % p.half;
  let row = i / p.half;
  let token = row % p.tokens;
  let head = row / p.tokens % p.heads;
  let batch = row / p.tokens / p.heads;
  let source = batch * p.fromBatch + head * p.fromHead + token * p.fromToken + d;
  let at = batch * p.toBatch + head * p.toHead + token * p.toToken + d;
  let angle = batch * p.angleBatch + token * p.half + d;
  let a = x[source];
  let b = x[source + p.half];
  let s = ${inverse ? '-' : ''}sin_[angle];
  emit(at, a * cos_[angle] - b * s);
  emit(at + p.half, b * cos_[angle] + a * s);
}`;
    const angleBatch = cos!.shape.length === 3 && batch > 1 ? (tokens * headDim) / 2 : 0;
    return {
      dispatches: [
        {
          wgsl,
          emits: 'out0',
          bindings: [
            { buffer: 'x', access: 'read', element: 'f32' },
            { buffer: 'cos', as: 'cos_', access: 'read', element: 'f32' },
            { buffer: 'sin', as: 'sin_', access: 'read', element: 'f32' },
            { buffer: 'out0', access: 'read_write', element: 'f32' },
          ],
          params: {
            pairs,
            half: headDim / 2,
            tokens,
            heads,
            angleBatch,
            ...outerStrides('from', strides?.['x'] ?? stridesOf(x!.shape)),
            ...outerStrides('to', strides?.['out0'] ?? stridesOf(x!.shape)),
          },
          workgroups: Math.ceil(pairs / 64),
        },
      ],
    };
  },
};

/** The gradient of angles [..., tokens, headDim/2] from products [batch, heads, tokens, headDim]: both halves and all heads summed. */
const angleGrad = (products: Tensor, angles: Tensor): Tensor => {
  const [batch, heads, tokens, headDim] = products.shape as [number, number, number, number];
  const halves = reshape(products, [batch, heads, tokens, 2, headDim / 2]);
  return unbroadcast(sum(halves, { axes: [1, 3] }), angles.shape);
};

/**
 * Rotary position embedding: pairs (xᵢ, xᵢ₊ₕ), h = headDim/2, are rotated: xᵢ·cos − xᵢ₊ₕ·sin, xᵢ₊ₕ·cos + xᵢ·sin.
 * `inverse` turns back: sin counts negative.
 * x [batch, heads, tokens, headDim]; cos and sin [tokens, headDim/2] or [batch, tokens, headDim/2]. The pairing of Hugging Face's Llama.
 * Su et al., 2021. https://arxiv.org/abs/2104.09864. Throws `bad-shape`, `bad-dtype`.
 */
export const rope: Op<'rope', readonly ['x', 'cos', 'sin'], readonly [], RopeAttrs> = defineOp({
  name: 'rope',
  inputs: ['x', 'cos', 'sin'],
  infer,
  kernel,
  vjp: ({ x, cos, sin, dy }, { inverse = false }) => {
    const quarterTurn = rope(x, broadcastTo(lift(0), cos.shape), broadcastTo(lift(1), cos.shape));
    const dSin = angleGrad(mul(dy, quarterTurn), sin);
    return {
      x: rope(dy, cos, sin, { inverse: !inverse }),
      cos: angleGrad(mul(dy, x), cos),
      sin: inverse ? neg(dSin) : dSin,
    };
  },
  reference: ({ x, cos, sin }, { x: spec, cos: angles }, { inverse = false }) => {
    const turn = inverse ? -1 : 1;
    const [, heads, tokens, headDim] = spec.shape as [number, number, number, number];
    const half = headDim / 2;
    const y = new Float64Array(x.length);
    for (let row = 0; row * headDim < x.length; row++) {
      const batch = angles.shape.length === 3 ? Math.floor(row / (heads * tokens)) : 0;
      for (let d = 0; d < half; d++) {
        const angle = (batch * tokens + (row % tokens)) * half + d;
        const [i, j] = [row * headDim + d, row * headDim + half + d];
        y[i] = x[i]! * cos[angle]! - x[j]! * turn * sin[angle]!;
        y[j] = x[j]! * cos[angle]! + x[i]! * turn * sin[angle]!;
      }
    }
    return y;
  },
  flops: ({ x }) => 3 * sizeOf(x.shape),
  samples: [
    { shapes: { x: [2, 3, 5, 6], cos: [5, 3], sin: [5, 3] } },
    { shapes: { x: [2, 3, 7, 10], cos: [2, 7, 5], sin: [2, 7, 5] } },
    { shapes: { x: [2, 3, 5, 6], cos: [5, 3], sin: [5, 3] }, attrs: { inverse: true } },
    { shapes: { x: [1, 2, 1, 64], cos: [1, 1, 32], sin: [1, 1, 32] } },
    { shapes: { x: [1, 2, 0, 4], cos: [0, 2], sin: [0, 2] } },
  ],
});
