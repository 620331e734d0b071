import { defineOp, type Op } from '../define-op.ts';
import type { Tensor } from '../graph.ts';
import { axisOf, type Spec, shapeError, sizeOf, stridesOf } from '../shape.ts';
import { stridedIndex } from './strided-index.ts';

/** Which axis of the input each axis of the output is. */
export interface TransposeAttrs {
  readonly perm: readonly number[];
}

const inverse = (perm: readonly number[]): number[] => perm.map((_, axis) => perm.indexOf(axis));

const permutedStrides = (x: Spec, perm: readonly number[]): number[] => {
  const strides = stridesOf(x.shape);
  return perm.map((axis) => strides[axis]!);
};

/** The record behind `transpose`. */
export const transposeOp: Op<'transpose', readonly ['x'], readonly [], TransposeAttrs> = defineOp({
  name: 'transpose',
  inputs: ['x'],
  infer: ({ x }, { perm }) => {
    if (perm.length !== x.shape.length || !x.shape.every((_, axis) => perm.includes(axis)))
      throw shapeError('transpose', [x], `[${perm.join(', ')}] must name each of the ${x.shape.length} axes once`);
    return { shape: perm.map((axis) => x.shape[axis]!), dtype: x.dtype };
  },
  vjp: ({ dy }, { perm }) => ({ x: transpose(dy, inverse(perm)) }),
  reference: ({ x }, { x: spec, out }, { perm }) => {
    const at = stridedIndex(out.shape, permutedStrides(spec, perm));
    return Float64Array.from({ length: sizeOf(out.shape) }, (_, i) => x[at(i)]!);
  },
  flops: () => 0,
  samples: [
    { shapes: { x: [3, 257] }, attrs: { perm: [1, 0] } },
    { shapes: { x: [2, 3, 4, 5] }, attrs: { perm: [0, 2, 1, 3] } },
    { shapes: { x: [2, 3, 4] }, attrs: { perm: [2, 0, 1] } },
    { shapes: { x: [0, 4] }, attrs: { perm: [1, 0] } },
    { shapes: { x: [] }, attrs: { perm: [] } },
    { shapes: { x: [3, 4] }, attrs: { perm: [1, 0] }, dtypes: { x: 'i32' }, ranges: { x: [-9, 10] } },
    { shapes: { x: [3, 5] }, attrs: { perm: [1, 0] }, dtypes: { x: 'f16' } },
  ],
});

/**
 * The axes in another order: output axis i is input axis `perm[i]`; negative axes count from the back. Default: the last two swap.
 * Throws `bad-shape` unless `perm` names each axis once.
 */
export const transpose = (x: Tensor, perm: readonly number[] = swapLast(x)): Tensor => {
  const axes = perm.map((axis) => axisOf('transpose', axis, x));
  return axes.length === x.shape.length && axes.every((axis, i) => axis === i) ? x : transposeOp(x, { perm: axes });
};

const swapLast = (x: Tensor): number[] => {
  const rank = x.shape.length;
  if (rank < 2) throw shapeError('transpose', [x], 'there are no two axes to swap; give perm');
  return [...x.shape.keys()].map((axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis));
};
