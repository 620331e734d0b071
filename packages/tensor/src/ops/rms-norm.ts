import { defineOp, type Op } from '../define-op.ts';
import { sizeOf } from '../shape.ts';
import { type NormAttrs, normSpec } from './norm-spec.ts';
import { rmsNormGrad } from './rms-norm-grad.ts';
import { eachRow } from './softmax.ts';

/**
 * Root-mean-square norm over the last axis: y = x / √(mean(x²) + eps) · weight. x [..., dim], weight [dim].
 * Zhang & Sennrich, 2019. https://arxiv.org/abs/1910.07467. Throws `bad-shape`, `bad-dtype`.
 */
export const rmsNorm: Op<'rms_norm', readonly ['x', 'weight'], readonly [], NormAttrs> = defineOp({
  name: 'rms_norm',
  inputs: ['x', 'weight'],
  infer: (specs, attrs) => normSpec('rmsNorm', specs, attrs),
  vjp: ({ x, weight, dy }, { eps }) => {
    const [dx, dWeight] = rmsNormGrad(x, weight, dy, { eps });
    return { x: dx, weight: dWeight };
  },
  reference: ({ x, weight }, { x: spec }, { eps }) => {
    const y = new Float64Array(x.length);
    const width = spec.shape.at(-1)!;
    eachRow(spec, (base) => {
      const row = x.subarray(base, base + width);
      const root = Math.sqrt(row.reduce((s, v) => s + v * v, 0) / width + eps);
      row.forEach((v, j) => (y[base + j] = (v / root) * weight[j]!));
    });
    return y;
  },
  flops: ({ x }) => 4 * sizeOf(x.shape),
  samples: [
    { shapes: { x: [3, 5], weight: [5] }, attrs: { eps: 1e-5 } },
    { shapes: { x: [2, 3, 257], weight: [257] }, attrs: { eps: 1e-6 } },
    { shapes: { x: [2, 1031], weight: [1031] }, attrs: { eps: 1e-2 } },
    { shapes: { x: [0, 4], weight: [4] }, attrs: { eps: 1e-5 } },
  ],
});
