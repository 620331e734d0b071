import { defineOp, type Op } from '../define-op.ts';
import { sizeOf } from '../shape.ts';
import { exp } from './exp.ts';
import { mul } from './mul.ts';
import { eachRow, lastAxisSpec, rowSamples } from './softmax.ts';
import { sub } from './sub.ts';
import { sum } from './sum.ts';

/** logSoftmax(x)ᵢ = xᵢ − log Σⱼ exp(xⱼ) along the last axis, without overflow. Throws `bad-shape` for a scalar. */
export const logSoftmax: Op<'log_softmax', readonly ['x']> = defineOp({
  name: 'log_softmax',
  inputs: ['x'],
  infer: ({ x }) => lastAxisSpec('logSoftmax', x),
  vjp: ({ out, dy }) => ({ x: sub(dy, mul(exp(out), sum(dy, { axes: [-1], keepDims: true }))) }),
  reference: ({ x }, { x: spec }) => {
    const y = new Float64Array(x.length);
    const width = spec.shape.at(-1)!;
    eachRow(spec, (base) => {
      const row = x.subarray(base, base + width);
      const top = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const logTotal = Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
      row.forEach((v, j) => (y[base + j] = v - top - logTotal));
    });
    return y;
  },
  flops: ({ x }) => 5 * sizeOf(x.shape),
  samples: rowSamples,
});
