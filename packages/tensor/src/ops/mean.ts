import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { broadcastTo } from './broadcast-to.ts';
import { mul } from './mul.ts';
import {
  checkNotEmpty,
  keptShape,
  type ReduceAttrs,
  type ReduceOptions,
  reducedIndex,
  reducedSize,
  reduceSamples,
  reduceWith,
} from './reduce.ts';

/** The record behind `mean`. */
export const meanOp: Op<'mean', readonly ['x'], readonly [], ReduceAttrs> = defineOp({
  name: 'mean',
  inputs: ['x'],
  infer: ({ x }, { axes }) => {
    accepts('mean', 'x', x, ['f32']);
    checkNotEmpty('mean', x, axes);
    return { shape: keptShape(x.shape, axes), dtype: x.dtype };
  },
  vjp: ({ x, dy }, { axes }) => ({ x: broadcastTo(mul(dy, 1 / reducedSize(x, axes)), x.shape) }),
  reference: ({ x }, { x: spec, out }, { axes }) => {
    const to = reducedIndex(spec, out);
    const scale = 1 / reducedSize(spec, axes);
    const means = new Float64Array(sizeOf(out.shape));
    x.forEach((v, i) => {
      means[to(i)]! += v * scale;
    });
    return means;
  },
  flops: ({ x }) => sizeOf(x.shape),
  samples: [...reduceSamples, { shapes: { x: [3, 17001] }, attrs: { axes: [1] } }],
});

/** Mean over axes, f32. Throws `bad-shape` for an axis out of range or when there is nothing to average, `bad-dtype`. */
export const mean = (x: Tensor, options: ReduceOptions = {}): Tensor =>
  reduceWith('mean', x, options, (t, attrs) => meanOp(t, attrs));
