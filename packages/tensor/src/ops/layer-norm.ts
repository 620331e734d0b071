import { defineOp, type Op } from '../define-op.ts';
import { sizeOf } from '../shape.ts';
import { layerNormGrad, momentsOf } from './layer-norm-grad.ts';
import { type NormAttrs, normSpec } from './norm-spec.ts';
import { eachRow } from './softmax.ts';

/**
 * Layer norm over the last axis: y = (x − mean x) / √(var x + eps) · weight + bias. x [..., dim], weight and bias [dim].
 * Ba, Kiros & Hinton, 2016. https://arxiv.org/abs/1607.06450. Throws `bad-shape`, `bad-dtype`.
 */
export const layerNorm: Op<'layer_norm', readonly ['x', 'weight', 'bias'], readonly [], NormAttrs> = defineOp({
  name: 'layer_norm',
  inputs: ['x', 'weight', 'bias'],
  infer: (specs, attrs) => normSpec('layerNorm', specs, attrs),
  vjp: ({ x, weight, dy }, { eps }) => {
    const [dx, dWeight, dBias] = layerNormGrad(x, weight, dy, { eps });
    return { x: dx, weight: dWeight, bias: dBias };
  },
  reference: ({ x, weight, bias }, { x: spec }, { eps }) => {
    const y = new Float64Array(x.length);
    const width = spec.shape.at(-1)!;
    eachRow(spec, (base) => {
      const row = x.subarray(base, base + width);
      const { mean, scale } = momentsOf(row, eps);
      row.forEach((v, j) => (y[base + j] = (v - mean) * scale * weight[j]! + bias[j]!));
    });
    return y;
  },
  flops: ({ x }) => 8 * sizeOf(x.shape),
  samples: [
    { shapes: { x: [3, 5], weight: [5], bias: [5] }, attrs: { eps: 1e-5 } },
    { shapes: { x: [2, 3, 257], weight: [257], bias: [257] }, ranges: { x: [9, 11] }, attrs: { eps: 1e-6 } },
    { shapes: { x: [2, 1031], weight: [1031], bias: [1031] }, attrs: { eps: 1e-2 } },
    { shapes: { x: [0, 4], weight: [4], bias: [4] }, attrs: { eps: 1e-5 } },
  ],
});
