import { defineOp, type Op, type Sample } from '../define-op.ts';
import { type Spec, shapeError, sizeOf } from '../shape.ts';
import { expectF32 } from './expect.ts';
import { mul } from './mul.ts';
import { sub } from './sub.ts';
import { sum } from './sum.ts';

/** The spec of an op over the last axis that keeps the shape. */
export const lastAxisSpec = (name: string, x: Spec): Spec => {
  expectF32(name, { x });
  if (x.shape.length === 0) throw shapeError(name, [x], 'the input must have at least one axis');
  return { shape: x.shape, dtype: x.dtype };
};

/** Calls `visit(row offset)` for each row of a tensor's values. */
export const eachRow = (x: Spec, visit: (base: number) => void): void => {
  const width = x.shape.at(-1)!;
  for (let base = 0; base < sizeOf(x.shape); base += width) visit(base);
};

/** Samples of ops over rows: narrow, odd, wide and empty ones. */
export const rowSamples: readonly Sample<'x', void>[] = [
  { shapes: { x: [3, 5] }, ranges: { x: [-4, 4] } },
  { shapes: { x: [2, 3, 257] }, ranges: { x: [-4, 4] } },
  { shapes: { x: [2, 1031] }, ranges: { x: [60, 90] } },
  { shapes: { x: [1] } },
  { shapes: { x: [0, 4] } },
  { shapes: { x: [4, 0] } },
];

/** softmax(x)ᵢ = exp(xᵢ − max x) / Σⱼ exp(xⱼ − max x) along the last axis. Throws `bad-shape` for a scalar. */
export const softmax: Op<'softmax', readonly ['x']> = defineOp({
  name: 'softmax',
  inputs: ['x'],
  infer: ({ x }) => lastAxisSpec('softmax', x),
  vjp: ({ out, dy }) => ({ x: mul(out, sub(dy, sum(mul(dy, out), { axes: [-1], keepDims: true }))) }),
  reference: ({ x }, { x: spec }) => {
    const y = new Float64Array(x.length);
    const width = spec.shape.at(-1)!;
    eachRow(spec, (base) => {
      const row = x.subarray(base, base + width);
      const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const total = row.reduce((s, v) => s + Math.exp(v - top), 0);
      row.forEach((v, j) => (y[base + j] = Math.exp(v - top) / total));
    });
    return y;
  },
  flops: ({ x }) => 5 * sizeOf(x.shape),
  samples: rowSamples,
});
