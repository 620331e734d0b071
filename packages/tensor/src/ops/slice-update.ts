import { defineOp, type Op } from '../define-op.ts';
import { constant, type Tensor } from '../graph.ts';
import { type Shape, type Spec, sameShape, shapeError } from '../shape.ts';
import { accepts, agree } from './accepts.ts';
import { add } from './add.ts';
import { blocksOf, resized } from './blocks.ts';
import { broadcastTo } from './broadcast-to.ts';
import type { AxisAttrs } from './concat.ts';
import { gather } from './gather.ts';
import { maximum } from './maximum.ts';
import { minimum } from './minimum.ts';
import { transpose } from './transpose.ts';

const checkSpecs = (x: Spec, value: Spec, start: Spec, axis: number): void => {
  agree('sliceUpdate', x, value);
  accepts('sliceUpdate', 'start', start, ['i32']);
  if (start.shape.length > 0) throw shapeError('sliceUpdate', [x, value, start], 'start must be a scalar');
  const size = value.shape[axis] ?? 0;
  if (!sameShape(resized(x, axis, size).shape, value.shape) || size > x.shape[axis]!)
    throw shapeError(
      'sliceUpdate',
      [x, value],
      `value must have x's sizes, but at most ${x.shape[axis]} along axis ${axis}`,
    );
};

/** The `size` rows of dy from `start` on (clamped as by the op) along an axis. */
const rowsFrom = (dy: Tensor, start: Tensor, axis: number, size: number): Tensor => {
  const i32 = (data: readonly number[], shape: Shape): Tensor => constant(Int32Array.from(data), shape);
  const clamped = minimum(maximum(start, i32([0], [])), i32([dy.shape[axis]! - size], []));
  const rows = add(i32([...Array(size).keys()], [size]), clamped);
  const swap = [...dy.shape.keys()].map((i) => (i === 0 ? axis : i === axis ? 0 : i));
  return transpose(gather(transpose(dy, swap), rows), swap);
};

const integer = { start: 'i32' } as const;
const at = (start: number): { readonly start: () => number } => ({ start: () => start });

/**
 * x with `value` in place of the positions [start, start + size of value) along one axis; `start`, an i32 scalar, is known only when it runs.
 * A start that would leave x is moved to the nearest that does not. For caches that grow. Throws `bad-shape`, `bad-dtype`.
 */
export const sliceUpdate: Op<'slice_update', readonly ['x', 'value', 'start'], readonly [], AxisAttrs> = defineOp({
  name: 'slice_update',
  inputs: ['x', 'value', 'start'],
  infer: ({ x, value, start }, { axis }) => {
    checkSpecs(x, value, start, blocksOf('sliceUpdate', x, axis).axis);
    return { shape: x.shape, dtype: x.dtype };
  },
  vjp: ({ value, start, dy }, attrs) => {
    const { axis } = blocksOf('sliceUpdate', value, attrs.axis);
    const zeros = broadcastTo(constant(new Float32Array(1), []), value.shape);
    return { x: sliceUpdate(dy, zeros, start, { axis }), value: rowsFrom(dy, start, axis, value.shape[axis]!) };
  },
  reference: ({ x, value, start }, specs, attrs) => {
    const { axis, outer, size, inner } = blocksOf('sliceUpdate', specs.x, attrs.axis);
    const written = specs.value.shape[axis]!;
    const begin = Math.min(Math.max(start[0]!, 0), size - written);
    const out = Float64Array.from(x);
    for (let block = 0; block < outer; block++)
      out.set(value.subarray(block * written * inner, (block + 1) * written * inner), (block * size + begin) * inner);
    return out;
  },
  flops: () => 0,
  samples: [
    { shapes: { x: [2, 9, 5], value: [2, 3, 5], start: [] }, attrs: { axis: 1 }, dtypes: integer, values: at(4) },
    { shapes: { x: [70, 3], value: [1, 3], start: [] }, attrs: { axis: 0 }, dtypes: integer, values: at(69) },
    { shapes: { x: [3, 4], value: [3, 2], start: [] }, attrs: { axis: -1 }, dtypes: integer, values: at(3) },
    { shapes: { x: [4], value: [2], start: [] }, attrs: { axis: 0 }, dtypes: integer, values: at(-5) },
    { shapes: { x: [4, 2], value: [0, 2], start: [] }, attrs: { axis: 0 }, dtypes: integer, values: at(1) },
    {
      shapes: { x: [3, 5], value: [3, 2], start: [] },
      attrs: { axis: 1 },
      dtypes: { ...integer, x: 'f16', value: 'f16' },
      values: at(2),
    },
  ],
});
