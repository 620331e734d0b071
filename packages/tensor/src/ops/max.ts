import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { div } from './div.ts';
import { equal } from './equal.ts';
import { mul } from './mul.ts';
import {
  checkNotEmpty,
  keptShape,
  type ReduceAttrs,
  type ReduceOptions,
  reducedIndex,
  reduceSamples,
  reduceWith,
} from './reduce.ts';
import { sum } from './sum.ts';

/** Values that do not repeat within 4001 positions and lie 0.002 apart, so that the largest is far from any other. */
const distinct = (i: number): number => ((i * 1709) % 4001) / 500 - 4;

/** The record behind `max`. */
export const maxOp: Op<'max', readonly ['x'], readonly [], ReduceAttrs> = defineOp({
  name: 'max',
  inputs: ['x'],
  infer: ({ x }, { axes }) => {
    accepts('max', 'x', x, ['f32', 'i32', 'u32']);
    checkNotEmpty('max', x, axes);
    return { shape: keptShape(x.shape, axes), dtype: x.dtype };
  },
  vjp: ({ x, out, dy }, { axes }) => {
    const largest = equal(x, out);
    return { x: mul(largest, div(dy, sum(largest, { axes, keepDims: true }))) };
  },
  reference: ({ x }, { x: spec, out }) => {
    const to = reducedIndex(spec, out);
    const most = new Float64Array(sizeOf(out.shape)).fill(Number.NEGATIVE_INFINITY);
    x.forEach((v, i) => {
      most[to(i)] = Math.max(most[to(i)]!, v);
    });
    return most;
  },
  flops: ({ x }) => sizeOf(x.shape),
  samples: [
    ...reduceSamples.map((sample) => ({ ...sample, values: { x: distinct } })),
    { shapes: { x: [2, 300] }, attrs: { axes: [1] }, ranges: { x: [-9, -5] } },
    { shapes: { x: [5, 70] }, attrs: { axes: [1] }, dtypes: { x: 'i32' }, ranges: { x: [-99, -9] } },
    { shapes: { x: [5, 7] }, attrs: { axes: [0] }, dtypes: { x: 'u32' }, ranges: { x: [0, 2 ** 32] } },
  ],
});

/**
 * The largest value over axes. The gradient is shared equally by all that are largest.
 * Throws `bad-shape` for an axis out of range or when there is no value, `bad-dtype` for f16.
 */
export const max = (x: Tensor, options: ReduceOptions = {}): Tensor =>
  reduceWith('max', x, options, (t, attrs) => maxOp(t, attrs));
