import { defineOp, type Op } from '../define-op.ts';
import { type Spec, sizeOf } from '../shape.ts';
import { type NormAttrs, normSpec } from './norm-spec.ts';
import { eachRow } from './softmax.ts';

/** Gradients of `rmsNorm`: [dx like x, dWeight [dim]]. With r = 1/√(mean(x²) + eps): dx = r·(w·dy − x·r²·mean(x·w·dy)), dWeight = Σ dy·x·r. */
export const rmsNormGrad: Op<
  'rms_norm_grad',
  readonly ['x', 'weight', 'dy'],
  readonly [],
  NormAttrs,
  readonly [Spec, Spec]
> = defineOp({
  name: 'rms_norm_grad',
  inputs: ['x', 'weight', 'dy'],
  infer: (specs, attrs): readonly [Spec, Spec] => [normSpec('rmsNormGrad', specs, attrs), specs.weight],
  vjp: 'none',
  reference: ({ x, weight, dy }, { x: spec }, { eps }) => {
    const dx = new Float64Array(x.length);
    const dWeight = new Float64Array(weight.length);
    const width = weight.length;
    eachRow(spec, (base) => {
      let squares = 0;
      let along = 0;
      for (let j = 0; j < width; j++) {
        squares += x[base + j]! ** 2;
        along += x[base + j]! * weight[j]! * dy[base + j]!;
      }
      const scale = 1 / Math.sqrt(squares / width + eps);
      for (let j = 0; j < width; j++) {
        dx[base + j] = scale * (weight[j]! * dy[base + j]! - (x[base + j]! * scale ** 2 * along) / width);
        dWeight[j]! += dy[base + j]! * x[base + j]! * scale;
      }
    });
    return [dx, dWeight];
  },
  flops: ({ x }) => 12 * sizeOf(x.shape),
  samples: [
    { shapes: { x: [3, 5], weight: [5], dy: [3, 5] }, attrs: { eps: 1e-5 } },
    { shapes: { x: [35, 3, 257], weight: [257], dy: [35, 3, 257] }, attrs: { eps: 1e-6 } },
    { shapes: { x: [2, 1031], weight: [1031], dy: [2, 1031] }, attrs: { eps: 1e-2 } },
    { shapes: { x: [0, 4], weight: [4], dy: [0, 4] }, attrs: { eps: 1e-5 } },
  ],
});
