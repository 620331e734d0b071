import { defineOp, type Op } from '../define-op.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { blocksOf } from './blocks.ts';
import type { AxisAttrs } from './concat.ts';

/**
 * The position of the largest value along one axis, as i32; the first of equal ones. The axis goes. Piecewise constant, so no gradient
 * flows through. Throws `bad-shape` for an axis out of range or without values, `bad-dtype` for f16.
 */
export const argmax: Op<'argmax', readonly ['x'], readonly [], AxisAttrs> = defineOp({
  name: 'argmax',
  inputs: ['x'],
  infer: ({ x }, attrs) => {
    accepts('argmax', 'x', x, ['f32', 'i32', 'u32']);
    const { axis, size } = blocksOf('argmax', x, attrs.axis);
    if (size === 0)
      throw shapeError('argmax', [x], `there is no value along axis ${axis}; choose an axis that is not empty`);
    return { shape: x.shape.filter((_, i) => i !== axis), dtype: 'i32' as const };
  },
  vjp: 'none',
  reference: ({ x }, specs, { axis }) => {
    const { size, inner } = blocksOf('argmax', specs.x, axis);
    return Float64Array.from({ length: sizeOf(specs.out.shape) }, (_, row) => {
      const base = Math.floor(row / inner) * size * inner + (row % inner);
      let best = 0;
      for (let j = 1; j < size; j++) if (x[base + j * inner]! > x[base + best * inner]!) best = j;
      return best;
    });
  },
  flops: ({ x }) => sizeOf(x.shape),
  samples: [
    { shapes: { x: [3, 257] }, attrs: { axis: 1 } },
    { shapes: { x: [2, 70, 3] }, attrs: { axis: 1 } },
    { shapes: { x: [5] }, attrs: { axis: -1 }, ranges: { x: [-9, -5] } },
    { shapes: { x: [4, 100] }, attrs: { axis: 1 }, dtypes: { x: 'i32' }, ranges: { x: [-3, 3] } },
    { shapes: { x: [6, 1] }, attrs: { axis: 1 }, dtypes: { x: 'u32' }, ranges: { x: [0, 3] } },
    { shapes: { x: [0, 4] }, attrs: { axis: 1 } },
  ],
});
