import { defineOp, type Op } from '../define-op.ts';
import { PeftError } from '../error.ts';
import type { Tensor } from '../graph.ts';
import { sameShape, shapeError, sizeOf } from '../shape.ts';
import { agree } from './accepts.ts';
import { blocksOf, resized } from './blocks.ts';
import { slice } from './slice.ts';

/** Along which axis; negative counts from the back. */
export interface AxisAttrs {
  readonly axis: number;
}

/** a and then b along one axis; the other sizes are equal. Throws `bad-shape`, `bad-dtype`. */
export const concat: Op<'concat', readonly ['a', 'b'], readonly [], AxisAttrs> = defineOp({
  name: 'concat',
  inputs: ['a', 'b'],
  infer: ({ a, b }, attrs) => {
    agree('concat', a, b);
    const { axis, size } = blocksOf('concat', a, attrs.axis);
    const more = b.shape[axis] ?? 0;
    if (!sameShape(resized(a, axis, more).shape, b.shape))
      throw shapeError('concat', [a, b], `all sizes but that of axis ${axis} must be equal`);
    return resized(a, axis, size + more);
  },
  vjp: ({ a, out, dy }, attrs) => {
    const { axis, size } = blocksOf('concat', a, attrs.axis);
    return { a: slice(dy, { axis, start: 0, end: size }), b: slice(dy, { axis, start: size, end: out.shape[axis]! }) };
  },
  reference: ({ a, b }, specs, attrs) => {
    const { axis, outer, size, inner } = blocksOf('concat', specs.a, attrs.axis);
    const [fromA, fromB] = [size * inner, specs.b.shape[axis]! * inner];
    const out = new Float64Array(sizeOf(specs.out.shape));
    for (let block = 0; block < outer; block++) {
      out.set(a.subarray(block * fromA, (block + 1) * fromA), block * (fromA + fromB));
      out.set(b.subarray(block * fromB, (block + 1) * fromB), block * (fromA + fromB) + fromA);
    }
    return out;
  },
  flops: () => 0,
  samples: [
    { shapes: { a: [3, 257], b: [2, 257] }, attrs: { axis: 0 } },
    { shapes: { a: [2, 3, 4], b: [2, 2, 4] }, attrs: { axis: 1 } },
    { shapes: { a: [2, 3], b: [2, 1] }, attrs: { axis: -1 } },
    { shapes: { a: [2, 0], b: [2, 3] }, attrs: { axis: 1 } },
    {
      shapes: { a: [3], b: [2] },
      attrs: { axis: 0 },
      dtypes: { a: 'i32', b: 'i32' },
      ranges: { a: [-9, 10], b: [-9, 10] },
    },
    { shapes: { a: [3, 3], b: [3, 2] }, attrs: { axis: 1 }, dtypes: { a: 'f16', b: 'f16' } },
  ],
});

/** Any number of tensors along one axis, joined in halves so that no value is copied more often than needed. Throws as `concat`, and `bad-option` for none. */
export const concatAll = (tensors: readonly Tensor[], axis: number): Tensor => {
  if (tensors.length === 0) throw new PeftError('bad-option', 'concatAll: got no tensors, expected at least one');
  if (tensors.length === 1) return tensors[0]!;
  const half = tensors.length >> 1;
  return concat(concatAll(tensors.slice(0, half), axis), concatAll(tensors.slice(half), axis), { axis });
};
