import { defineOp, type Op } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { blocksOf, resized } from './blocks.ts';
import { slice } from './slice.ts';

/** How many zeros come before and after, along an axis; a negative axis counts from the back. */
export interface PadAttrs {
  readonly axis: number;
  readonly before: number;
  readonly after: number;
}

/** Zeros before and after the values along one axis. Throws `bad-shape` for counts that are no non-negative integers. */
export const pad: Op<'pad', readonly ['x'], readonly [], PadAttrs> = defineOp({
  name: 'pad',
  inputs: ['x'],
  infer: ({ x }, attrs) => {
    const { axis, size } = blocksOf('pad', x, attrs.axis);
    const { before, after } = attrs;
    if (![before, after].every((n) => Number.isSafeInteger(n) && n >= 0))
      throw shapeError('pad', [x], `before ${before} and after ${after} must be non-negative integers`);
    return resized(x, axis, before + size + after);
  },
  vjp: ({ x, dy }, { axis, before }) => ({
    x: slice(dy, { axis, start: before, end: before + blocksOf('pad', x, axis).size }),
  }),
  reference: ({ x }, specs, { axis, before, after }) => {
    const { outer, size, inner } = blocksOf('pad', specs.x, axis);
    const out = new Float64Array(sizeOf(specs.out.shape));
    for (let block = 0; block < outer; block++)
      out.set(
        x.subarray(block * size * inner, (block + 1) * size * inner),
        (block * (before + size + after) + before) * inner,
      );
    return out;
  },
  flops: () => 0,
  samples: [
    { shapes: { x: [3, 57] }, attrs: { axis: 1, before: 5, after: 200 } },
    { shapes: { x: [2, 3, 4] }, attrs: { axis: 0, before: 0, after: 1 } },
    { shapes: { x: [2, 3] }, attrs: { axis: -1, before: 1, after: 0 } },
    { shapes: { x: [2, 0] }, attrs: { axis: 1, before: 2, after: 1 } },
    { shapes: { x: [4] }, attrs: { axis: 0, before: 1, after: 1 }, dtypes: { x: 'i32' }, ranges: { x: [-9, 10] } },
    { shapes: { x: [3, 4] }, attrs: { axis: 1, before: 1, after: 2 }, dtypes: { x: 'f16' } },
    { shapes: { x: [3, 4] }, attrs: { axis: 1, before: 1, after: 2 }, dtypes: { x: 'u8' }, ranges: { x: [0, 256] } },
  ],
});
