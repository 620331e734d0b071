import { defineOp, type Op } from '../define-op.ts';
import { constant } from '../graph.ts';
import { type Spec, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { equal } from './equal.ts';
import { mul } from './mul.ts';
import { reshape } from './reshape.ts';
import { sum } from './sum.ts';

/** Values of a row that differ by at least 0.01. */
const distinct = (i: number): number => ((i * 61) % 311) / 100 - 1.5;

/**
 * The k largest values of the last axis, largest first, and their positions as i32; of equal values the earlier comes first. The gradient
 * of the values goes to where they came from, by comparing positions: k times the size of x is computed, so it suits short rows, such as
 * a router's experts. Throws `bad-shape` unless 1 ≤ k ≤ size, `bad-dtype`.
 */
export const topK: Op<
  'top_k',
  readonly ['x'],
  readonly [],
  { readonly k: number },
  readonly [values: Spec, indices: Spec]
> = defineOp({
  name: 'top_k',
  inputs: ['x'],
  infer: ({ x }, { k }) => {
    accepts('topK', 'x', x, ['f32']);
    const size = x.shape.at(-1) ?? 0;
    if (!Number.isInteger(k) || k < 1 || k > size)
      throw shapeError('topK', [x], `k is ${k}, it must be in [1, ${size}], the size of the last axis`);
    const shape = [...x.shape.slice(0, -1), k];
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: 'i32' },
    ] as const;
  },
  vjp: ({ x, outs, dys: [dValues] }) => {
    if (!dValues) return {};
    const size = x.shape.at(-1)!;
    const places = constant(
      Int32Array.from({ length: size }, (_, i) => i),
      [size],
    );
    const chosen = equal(reshape(outs[1]!, [...outs[1]!.shape, 1]), places); // [..., k, size]
    return { x: sum(mul(chosen, reshape(dValues, [...dValues.shape, 1])), { axes: [-2] }) };
  },
  reference: ({ x }, specs, { k }) => {
    const size = specs.x.shape.at(-1)!;
    const values = new Float64Array(sizeOf(specs.out.shape));
    const indices = new Float64Array(values.length);
    for (let row = 0; row * size < x.length; row++) {
      const v = x.subarray(row * size, (row + 1) * size);
      const order = [...v.keys()].sort((i, j) => v[j]! - v[i]! || i - j);
      for (let i = 0; i < k; i++) {
        indices[row * k + i] = order[i]!;
        values[row * k + i] = v[order[i]!]!;
      }
    }
    return [values, indices];
  },
  flops: ({ x }, { k }) => k * sizeOf(x.shape),
  samples: [
    { shapes: { x: [3, 257] }, attrs: { k: 5 }, values: { x: distinct } },
    { shapes: { x: [2, 3, 7] }, attrs: { k: 7 }, values: { x: distinct } },
    { shapes: { x: [4] }, attrs: { k: 1 }, values: { x: distinct } },
    { shapes: { x: [0, 4] }, attrs: { k: 2 } },
  ],
});
