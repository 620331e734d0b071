import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { broadcastShapes, type Shape, sameShape, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { broadcastIndex } from './strided-index.ts';
import { unbroadcast } from './unbroadcast.ts';

/** The record behind `broadcastTo`. */
export const broadcastToOp: Op<'broadcast_to', readonly ['x'], readonly [], { readonly shape: Shape }> = defineOp({
  name: 'broadcast_to',
  inputs: ['x'],
  infer: ({ x }, { shape }) => {
    accepts('broadcastTo', 'x', x, ['f32', 'f16', 'i32', 'u32']);
    const goal = { shape, dtype: x.dtype };
    if (!sameShape(broadcastShapes('broadcastTo', [x, goal]), shape))
      throw shapeError('broadcastTo', [x], `it does not broadcast to [${shape}]`);
    return goal;
  },
  vjp: ({ x, dy }) => ({ x: unbroadcast(dy, x.shape) }),
  reference: ({ x }, { x: spec, out }) => {
    const at = broadcastIndex(spec.shape, out.shape);
    return Float64Array.from({ length: sizeOf(out.shape) }, (_, i) => x[at(i)]!);
  },
  flops: () => 0,
  samples: [
    { shapes: { x: [3, 1] }, attrs: { shape: [2, 3, 4] } },
    { shapes: { x: [] }, attrs: { shape: [5] } },
    { shapes: { x: [1] }, attrs: { shape: [0] } },
    { shapes: { x: [2, 1] }, attrs: { shape: [2, 3] }, dtypes: { x: 'i32' }, ranges: { x: [-9, 10] } },
  ],
});

/** Repeats size-1 and missing leading axes up to `shape`. Throws `bad-shape`, `bad-dtype` (u8). */
export const broadcastTo = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : broadcastToOp(x, { shape });
