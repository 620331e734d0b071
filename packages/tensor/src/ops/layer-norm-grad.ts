import { defineOp, type Op, type Values } from '../define-op.ts';
import { type Spec, sizeOf } from '../shape.ts';
import { type NormAttrs, normSpec } from './norm-spec.ts';
import { eachRow } from './softmax.ts';

/** Mean and 1/√(variance + eps) of one row. */
export const momentsOf = (row: Values, eps: number): { readonly mean: number; readonly scale: number } => {
  const mean = row.reduce((s, v) => s + v, 0) / row.length;
  const variance = row.reduce((s, v) => s + (v - mean) ** 2, 0) / row.length;
  return { mean, scale: 1 / Math.sqrt(variance + eps) };
};

/**
 * Gradients of `layerNorm`: [dx like x, dWeight [dim], dBias [dim]]. With n = (x − mean)·r, r = 1/√(var + eps), g = w·dy:
 * dx = r·(g − mean g − n·mean(g·n)), dWeight = Σ dy·n, dBias = Σ dy.
 */
export const layerNormGrad: Op<
  'layer_norm_grad',
  readonly ['x', 'weight', 'dy'],
  readonly [],
  NormAttrs,
  readonly [Spec, Spec, Spec]
> = defineOp({
  name: 'layer_norm_grad',
  inputs: ['x', 'weight', 'dy'],
  infer: (specs, attrs): readonly [Spec, Spec, Spec] => [
    normSpec('layerNormGrad', specs, attrs),
    specs.weight,
    specs.weight,
  ],
  vjp: 'none',
  reference: ({ x, weight, dy }, { x: spec }, { eps }) => {
    const dx = new Float64Array(x.length);
    const dWeight = new Float64Array(weight.length);
    const dBias = new Float64Array(weight.length);
    const width = weight.length;
    eachRow(spec, (base) => {
      const { mean, scale } = momentsOf(x.subarray(base, base + width), eps);
      const normed = x.subarray(base, base + width).map((v) => (v - mean) * scale);
      const g = weight.map((w, j) => w * dy[base + j]!);
      const pull = g.reduce((s, v) => s + v, 0) / width;
      const along = g.reduce((s, v, j) => s + v * normed[j]!, 0) / width;
      for (let j = 0; j < width; j++) {
        dx[base + j] = scale * (g[j]! - pull - normed[j]! * along);
        dWeight[j]! += dy[base + j]! * normed[j]!;
        dBias[j]! += dy[base + j]!;
      }
    });
    return [dx, dWeight, dBias];
  },
  flops: ({ x }) => 18 * sizeOf(x.shape),
  samples: [
    { shapes: { x: [3, 5], weight: [5], dy: [3, 5] }, attrs: { eps: 1e-5 } },
    { shapes: { x: [35, 3, 257], weight: [257], dy: [35, 3, 257] }, attrs: { eps: 1e-6 } },
    { shapes: { x: [2, 1031], weight: [1031], dy: [2, 1031] }, attrs: { eps: 1e-2 } },
    { shapes: { x: [0, 4], weight: [4], dy: [0, 4] }, attrs: { eps: 1e-5 } },
  ],
});
