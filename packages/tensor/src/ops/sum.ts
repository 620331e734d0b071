import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { reduceKernel } from './reduce-kernel.ts';
import { axisOf, type Shape, sizeOf, type Spec, stridesOf } from '../shape.ts';
import { broadcastTo } from './broadcast-to.ts';
import { reshape } from './reshape.ts';

/** Sorted axes to reduce; the reduced axes stay with size 1. */
export interface ReduceAttrs {
  readonly axes: readonly number[];
}

/** How a reduction is called: default all axes, dropped from the shape. */
export interface ReduceOptions {
  readonly axes?: readonly number[];
  readonly keepDims?: boolean;
}

/** The shape with the reduced axes at size 1. */
export const keptShape = (shape: Shape, axes: readonly number[]): Shape => shape.map((d, i) => (axes.includes(i) ? 1 : d));

/** Normalised axes, and a reshape that drops them unless they are kept. */
export const reduceWith = (name: string, x: Tensor, { axes, keepDims = false }: ReduceOptions, op: (x: Tensor, attrs: ReduceAttrs) => Tensor): Tensor => {
  const all = axes ? [...new Set(axes.map((a) => axisOf(name, a, x)))].sort((a, b) => a - b) : x.shape.map((_, i) => i);
  const y = all.length > 0 ? op(x, { axes: all }) : x;
  return keepDims ? y : reshape(y, x.shape.filter((_, i) => !all.includes(i)));
};

/** For each position of `x`, the position in its reduction. */
export const reducedIndex = (x: Spec, out: Spec): ((i: number) => number) => {
  const from = stridesOf(x.shape);
  const to = stridesOf(out.shape);
  return (i) => from.reduce((at, stride, axis) => at + (out.shape[axis] === 1 ? 0 : (Math.floor(i / stride) % x.shape[axis]!) * to[axis]!), 0);
};

/** The record behind `sum`. */
export const sumOp: Op<'sum', readonly ['x'], readonly [], ReduceAttrs> = defineOp({
  name: 'sum',
  inputs: ['x'],
  infer: ({ x }, { axes }) => ({ shape: keptShape(x.shape, axes), dtype: x.dtype }),
  kernel: reduceKernel({ start: '0.0', step: 'acc + x' }),
  vjp: ({ x, dy }) => ({ x: broadcastTo(dy, x.shape) }),
  reference: ({ x }, { x: spec, out }) => {
    const to = reducedIndex(spec, out);
    const sums = new Float64Array(sizeOf(out.shape));
    x.forEach((v, i) => {
      sums[to(i)]! += v;
    });
    return sums;
  },
  flops: ({ x }) => sizeOf(x.shape),
  samples: [
    { shapes: { x: [3, 257] }, attrs: { axes: [1] } },
    { shapes: { x: [3, 4, 5] }, attrs: { axes: [0, 2] } },
    { shapes: { x: [70, 300] }, attrs: { axes: [0, 1] } },
    { shapes: { x: [2, 3, 4] }, attrs: { axes: [1] } },
    { shapes: { x: [0, 4] }, attrs: { axes: [0] } },
  ],
});

/** Sum over axes. Throws `bad-shape` for an axis out of range. */
export const sum = (x: Tensor, options: ReduceOptions = {}): Tensor => reduceWith('sum', x, options, (t, attrs) => sumOp(t, attrs));
