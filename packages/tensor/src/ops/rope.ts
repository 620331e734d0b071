import { defineOp, lift, type Op, type Values } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { type Spec, sameShape, shapeError, sizeOf } from '../shape.ts';
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

/** The spec of a rotated tensor. Throws `bad-shape`, `bad-dtype`. */
export const checkRope = (
  name: string,
  { x, cos, sin }: { readonly x: Spec; readonly cos: Spec; readonly sin: Spec },
): Spec => {
  expectF32(name, { x, cos, sin });
  const [batch, , tokens, headDim] = x.shape;
  if (x.shape.length !== 4 || headDim! % 2 !== 0)
    throw shapeError(name, [x], 'x must be [batch, heads, tokens, headDim] with an even headDim');
  const angles = [tokens!, headDim! / 2];
  if (!sameShape(cos.shape, sin.shape) || !(sameShape(cos.shape, angles) || sameShape(cos.shape, [batch!, ...angles])))
    throw shapeError(name, [x, cos, sin], `cos and sin must both be [${angles}] or [${[batch!, ...angles]}]`);
  return { shape: x.shape, dtype: x.dtype };
};

/** The gradient of angles [..., tokens, headDim/2] from products [batch, heads, tokens, headDim]: both halves and all heads summed. */
const angleGrad = (products: Tensor, angles: Tensor): Tensor => {
  const [batch, heads, tokens, headDim] = products.shape as [number, number, number, number];
  const halves = reshape(products, [batch, heads, tokens, 2, headDim / 2]);
  return unbroadcast(sum(halves, { axes: [1, 3] }), angles.shape);
};

/** The gradients of cos and sin from a rotated tensor and its gradient. */
export const angleGrads = (
  x: Tensor,
  dy: Tensor,
  cos: Tensor,
  sin: Tensor,
  inverse: boolean,
): { readonly cos: Tensor; readonly sin: Tensor } => {
  const quarterTurn = rope(x, broadcastTo(lift(0), cos.shape), broadcastTo(lift(1), cos.shape));
  const dSin = angleGrad(mul(dy, quarterTurn), sin);
  return { cos: angleGrad(mul(dy, x), cos), sin: inverse ? neg(dSin) : dSin };
};

/** The definition of `rope`. */
export const rotate = (
  x: Values,
  { shape }: Spec,
  cos: Values,
  sin: Values,
  angles: Spec,
  { inverse = false }: RopeAttrs,
): Values => {
  const [, heads, tokens, headDim] = shape as [number, number, number, number];
  const half = headDim / 2;
  const y = new Float64Array(x.length);
  for (let row = 0; row * headDim < x.length; row++) {
    const batch = angles.shape.length === 3 ? Math.floor(row / (heads * tokens)) : 0;
    for (let d = 0; d < half; d++) {
      const angle = (batch * tokens + (row % tokens)) * half + d;
      const [i, j] = [row * headDim + d, row * headDim + half + d];
      const s = inverse ? -sin[angle]! : sin[angle]!;
      y[i] = x[i]! * cos[angle]! - x[j]! * s;
      y[j] = x[j]! * cos[angle]! + x[i]! * s;
    }
  }
  return y;
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
  infer: (specs) => checkRope('rope', specs),
  vjp: ({ x, cos, sin, dy }, { inverse = false }) => ({
    x: rope(dy, cos, sin, { inverse: !inverse }),
    ...angleGrads(x, dy, cos, sin, inverse),
  }),
  reference: ({ x, cos, sin }, specs, attrs) => rotate(x, specs.x, cos, sin, specs.cos, attrs),
  flops: ({ x }) => 3 * sizeOf(x.shape),
  samples: [
    { shapes: { x: [2, 3, 5, 6], cos: [5, 3], sin: [5, 3] } },
    { shapes: { x: [2, 3, 7, 10], cos: [2, 7, 5], sin: [2, 7, 5] } },
    { shapes: { x: [2, 3, 5, 6], cos: [5, 3], sin: [5, 3] }, attrs: { inverse: true } },
    { shapes: { x: [1, 2, 1, 64], cos: [1, 1, 32], sin: [1, 1, 32] } },
    { shapes: { x: [1, 2, 0, 4], cos: [0, 2], sin: [0, 2] } },
  ],
});
