import { defineOp, type Op } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { blocksOf, resized } from './blocks.ts';
import { pad } from './pad.ts';

/** Positions [start, end) along an axis; a negative axis counts from the back. */
export interface SliceAttrs {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
}

/** Positions [start, end) along one axis. Throws `bad-shape` unless 0 ≤ start ≤ end ≤ size. */
export const slice: Op<'slice', readonly ['x'], readonly [], SliceAttrs> = defineOp({
  name: 'slice',
  inputs: ['x'],
  infer: ({ x }, attrs) => {
    const { axis, size } = blocksOf('slice', x, attrs.axis);
    const { start, end } = attrs;
    if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || start > end || end > size)
      throw shapeError('slice', [x], `[${start}, ${end}) must lie within [0, ${size}) of axis ${axis}`);
    return resized(x, axis, end - start);
  },
  vjp: ({ x, dy }, { axis, start, end }) => ({
    x: pad(dy, { axis, before: start, after: blocksOf('slice', x, axis).size - end }),
  }),
  reference: ({ x }, specs, { axis, start, end }) => {
    const { outer, size, inner } = blocksOf('slice', specs.x, axis);
    const out = new Float64Array(sizeOf(specs.out.shape));
    for (let block = 0; block < outer; block++)
      out.set(x.subarray((block * size + start) * inner, (block * size + end) * inner), block * (end - start) * inner);
    return out;
  },
  flops: () => 0,
  samples: [
    { shapes: { x: [3, 257] }, attrs: { axis: 1, start: 5, end: 200 } },
    { shapes: { x: [5, 3, 2] }, attrs: { axis: 0, start: 1, end: 4 } },
    { shapes: { x: [2, 3, 4] }, attrs: { axis: -2, start: 2, end: 3 } },
    { shapes: { x: [4] }, attrs: { axis: 0, start: 2, end: 2 } },
    { shapes: { x: [7] }, attrs: { axis: 0, start: 0, end: 3 }, dtypes: { x: 'u32' }, ranges: { x: [0, 10] } },
    { shapes: { x: [3, 7] }, attrs: { axis: 1, start: 1, end: 4 }, dtypes: { x: 'f16' } },
    { shapes: { x: [3, 7] }, attrs: { axis: 1, start: 1, end: 4 }, dtypes: { x: 'u8' }, ranges: { x: [0, 256] } },
  ],
});
