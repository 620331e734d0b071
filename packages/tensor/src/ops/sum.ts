import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { broadcastTo } from './broadcast-to.ts';
import { keptShape, type ReduceAttrs, type ReduceOptions, reducedIndex, reduceSamples, reduceWith } from './reduce.ts';
import { wrap } from './wrap.ts';

/** The record behind `sum`. */
export const sumOp: Op<'sum', readonly ['x'], readonly [], ReduceAttrs> = defineOp({
  name: 'sum',
  inputs: ['x'],
  infer: ({ x }, { axes }) => {
    accepts('sum', 'x', x, ['f32', 'i32', 'u32']);
    return { shape: keptShape(x.shape, axes), dtype: x.dtype };
  },
  vjp: ({ x, dy }) => ({ x: broadcastTo(dy, x.shape) }),
  reference: ({ x }, { x: spec, out }) => {
    const to = reducedIndex(spec, out);
    const sums = new Float64Array(sizeOf(out.shape));
    x.forEach((v, i) => {
      sums[to(i)]! += v;
    });
    return sums.map((v) => wrap(out.dtype, v));
  },
  flops: ({ x }) => sizeOf(x.shape),
  samples: [
    ...reduceSamples,
    { shapes: { x: [5, 70] }, attrs: { axes: [1] }, dtypes: { x: 'i32' }, ranges: { x: [-9, 10] } },
    { shapes: { x: [5, 7] }, attrs: { axes: [0] }, dtypes: { x: 'u32' }, ranges: { x: [0, 2 ** 31] } },
    { shapes: { x: [2, 17001] }, attrs: { axes: [0, 1] }, dtypes: { x: 'i32' }, ranges: { x: [-9, 10] } },
    { shapes: { x: [0, 4] }, attrs: { axes: [0] } },
  ],
});

/** Sum over axes, 0 where there is nothing to add; integers wrap. Throws `bad-shape` for an axis out of range, `bad-dtype` for f16. */
export const sum = (x: Tensor, options: ReduceOptions = {}): Tensor =>
  reduceWith('sum', x, options, (t, attrs) => sumOp(t, attrs));
