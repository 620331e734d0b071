import type { Tensor } from '../graph.ts';
import { axisOf, type Shape, type Spec, shapeError, sizeOf, stridesOf } from '../shape.ts';
import { reshape } from './reshape.ts';
import { stridedIndex } from './strided-index.ts';

/** Sorted axes to reduce; they stay with size 1. */
export interface ReduceAttrs {
  readonly axes: readonly number[];
}

/** How a reduction is called: default all axes, dropped from the shape. */
export interface ReduceOptions {
  readonly axes?: readonly number[];
  readonly keepDims?: boolean;
}

/** The shape with the reduced axes at size 1. */
export const keptShape = (shape: Shape, axes: readonly number[]): Shape =>
  shape.map((d, i) => (axes.includes(i) ? 1 : d));

/** How many values fall into one. */
export const reducedSize = (x: Spec, axes: readonly number[]): number => sizeOf(axes.map((i) => x.shape[i]!));

/** Throws `bad-shape` when nothing falls into one, for reductions that have no value then. */
export const checkNotEmpty = (op: string, x: Spec, axes: readonly number[]): void => {
  if (reducedSize(x, axes) === 0)
    throw shapeError(op, [x], `there is no value along axes [${axes.join(', ')}]; reduce axes that are not empty`);
};

/** Normalised axes, and a reshape that drops them unless they are kept. */
export const reduceWith = (
  name: string,
  x: Tensor,
  { axes, keepDims = false }: ReduceOptions,
  op: (x: Tensor, attrs: ReduceAttrs) => Tensor,
): Tensor => {
  const all = axes ? [...new Set(axes.map((a) => axisOf(name, a, x)))].sort((a, b) => a - b) : x.shape.map((_, i) => i);
  const y = all.length > 0 ? op(x, { axes: all }) : x;
  return keepDims
    ? y
    : reshape(
        y,
        x.shape.filter((_, i) => !all.includes(i)),
      );
};

/** For each position of `x`, the position in its reduction. */
export const reducedIndex = (x: Spec, out: Spec): ((i: number) => number) =>
  stridedIndex(
    x.shape,
    stridesOf(out.shape).map((stride, axis) => (out.shape[axis] === 1 ? 0 : stride)),
  );

/** Cases that every reduction takes: rows, columns, mixed axes, many short ones, everything at once in one stage and in two. */
export const reduceSamples: readonly { readonly shapes: { readonly x: Shape }; readonly attrs: ReduceAttrs }[] = [
  { shapes: { x: [3, 257] }, attrs: { axes: [1] } },
  { shapes: { x: [130, 5] }, attrs: { axes: [0] } },
  { shapes: { x: [3, 4, 5] }, attrs: { axes: [0, 2] } },
  { shapes: { x: [9, 2, 11, 3] }, attrs: { axes: [0, 2] } },
  { shapes: { x: [2, 3, 4] }, attrs: { axes: [1] } },
  { shapes: { x: [1100, 3] }, attrs: { axes: [1] } },
  { shapes: { x: [7, 11] }, attrs: { axes: [0, 1] } },
  { shapes: { x: [1, 1] }, attrs: { axes: [0] } },
  { shapes: { x: [4, 0] }, attrs: { axes: [0] } },
];
