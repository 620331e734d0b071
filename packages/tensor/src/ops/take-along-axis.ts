import { defineOp, type Op } from '../define-op.ts';
import { constant, type Tensor } from '../graph.ts';
import { shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { add } from './add.ts';
import { type Blocks, blocksOf, resized } from './blocks.ts';
import type { AxisAttrs } from './concat.ts';
import { greaterEqual } from './greater-equal.ts';
import { less } from './less.ts';
import { mul } from './mul.ts';
import { reshape } from './reshape.ts';
import { scatterAdd } from './scatter-add.ts';
import { select } from './select.ts';

const whole = (values: readonly number[], ...shape: readonly number[]): Tensor =>
  constant(Int32Array.from(values), shape);

/** Places of index [outer, taken, inner] in values [outer, size, inner] laid end to end; −1 for those outside. */
const placesOf = (index: Tensor, { outer, size, inner }: Blocks, taken: number): Tensor => {
  const steps = (count: number, by: number): readonly number[] => Array.from({ length: count }, (_, i) => i * by);
  const given = reshape(index, [outer, taken, inner]);
  const start = add(whole(steps(outer, size * inner), outer, 1, 1), whole(steps(inner, 1), 1, 1, inner));
  const within = mul(greaterEqual(given, whole([0])), less(given, whole([size])));
  return reshape(select(within, add(mul(given, whole([inner])), start), whole([-1], 1, 1, 1)), [-1]);
};

const row = { index: 'i32' } as const;

/**
 * One value for each entry of an i32 index along an axis: y[…, i, …] = x[…, index[…, i, …], …], of the index's shape, which is that of x but for the
 * axis. An index outside of the axis yields zero, and its gradient goes nowhere. NumPy's `take_along_axis`. Throws `bad-shape`,
 * `bad-dtype` for an index that is not i32.
 */
export const takeAlongAxis: Op<'take_along_axis', readonly ['x', 'index'], readonly [], AxisAttrs> = defineOp({
  name: 'take_along_axis',
  inputs: ['x', 'index'],
  infer: ({ x, index }, attrs) => {
    accepts('takeAlongAxis', 'index', index, ['i32']);
    const { axis } = blocksOf('takeAlongAxis', x, attrs.axis);
    const fits = x.shape.length === index.shape.length && x.shape.every((d, i) => i === axis || d === index.shape[i]);
    if (!fits)
      throw shapeError('takeAlongAxis', [x, index], `the index must have the shape of x, but for axis ${axis}`);
    return resized(x, axis, index.shape[axis]!);
  },
  vjp: ({ x, index, dy }, attrs) => {
    const blocks = blocksOf('takeAlongAxis', x, attrs.axis);
    const places = placesOf(index, blocks, index.shape[blocks.axis]!);
    return { x: reshape(scatterAdd(reshape(dy, [-1]), places, { rows: sizeOf(x.shape) }), x.shape) };
  },
  reference: ({ x, index }, specs, attrs) => {
    const { axis, size, inner } = blocksOf('takeAlongAxis', specs.x, attrs.axis);
    const taken = specs.index.shape[axis]! * inner;
    return Float64Array.from(index, (at, i) =>
      at >= 0 && at < size ? x[(Math.floor(i / taken) * size + at) * inner + (i % inner)]! : 0,
    );
  },
  flops: () => 0,
  samples: [
    { shapes: { x: [2, 5, 7], index: [2, 5, 1] }, attrs: { axis: -1 }, dtypes: row, ranges: { index: [0, 7] } },
    { shapes: { x: [3, 70, 4], index: [3, 9, 4] }, attrs: { axis: 1 }, dtypes: row, ranges: { index: [0, 70] } },
    { shapes: { x: [5, 6], index: [8, 6] }, attrs: { axis: 0 }, dtypes: row, ranges: { index: [-2, 7] } },
    { shapes: { x: [300], index: [90] }, attrs: { axis: 0 }, dtypes: row, ranges: { index: [0, 300] } },
    { shapes: { x: [2, 3], index: [2, 0] }, attrs: { axis: 1 }, dtypes: row },
    { shapes: { x: [2, 0], index: [2, 3] }, attrs: { axis: 1 }, dtypes: row, ranges: { index: [0, 1] } },
    {
      shapes: { x: [3, 4], index: [3, 2] },
      attrs: { axis: 1 },
      dtypes: { index: 'i32', x: 'f16' },
      ranges: { index: [0, 4] },
    },
    {
      shapes: { x: [3, 4], index: [3, 2] },
      attrs: { axis: 1 },
      dtypes: { index: 'i32', x: 'u32' },
      ranges: { index: [0, 4], x: [0, 99] },
    },
  ],
});
