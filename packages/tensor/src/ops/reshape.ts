import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { type Shape, sameShape, shapeError, sizeOf } from '../shape.ts';

/** The record behind `reshape`. */
export const reshapeOp: Op<'reshape', readonly ['x'], readonly [], { readonly shape: Shape }> = defineOp({
  name: 'reshape',
  inputs: ['x'],
  infer: ({ x }, { shape }) => {
    if (sizeOf(shape) !== sizeOf(x.shape))
      throw shapeError('reshape', [x], `[${shape}] holds ${sizeOf(shape)} values, not ${sizeOf(x.shape)}`);
    return { shape, dtype: x.dtype };
  },
  vjp: ({ x, dy }) => ({ x: reshape(dy, x.shape) }),
  reference: ({ x }) => x,
  flops: () => 0,
  samples: [
    { shapes: { x: [2, 6] }, attrs: { shape: [3, 4] } },
    { shapes: { x: [] }, attrs: { shape: [1, 1] } },
    { shapes: { x: [0, 3] }, attrs: { shape: [5, 0] } },
    { shapes: { x: [6] }, attrs: { shape: [2, 3] }, dtypes: { x: 'i32' }, ranges: { x: [-9, 10] } },
  ],
});

/** The same values, in order, under another shape; one size may be −1, for the rest. Throws `bad-shape`. */
export const reshape = (x: Tensor, shape: Shape): Tensor => {
  const rest = sizeOf(shape.filter((d) => d !== -1));
  const full = shape.map((d) => (d === -1 ? (rest === 0 ? 0 : sizeOf(x.shape) / rest) : d));
  if (!full.every((d) => Number.isInteger(d) && d >= 0) || shape.filter((d) => d === -1).length > 1)
    throw shapeError('reshape', [x], `[${shape}] does not divide ${sizeOf(x.shape)} values`);
  return sameShape(full, x.shape) ? x : reshapeOp(x, { shape: full });
};
