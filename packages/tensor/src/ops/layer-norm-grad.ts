import { defineOp, type Op, type Values } from '../define-op.ts';
import type { Kernel } from '../kernel.ts';
import { type Spec, sizeOf } from '../shape.ts';
import { type NormAttrs, normSpec, rowsOf } from './norm-spec.ts';
import { eachRow } from './softmax.ts';
import { columnScratch, columnSum } from './wgsl/columns.ts';
import { rowDispatch } from './wgsl/rows.ts';

/** Mean and 1/√(variance + eps) of one row. */
export const momentsOf = (row: Values, eps: number): { readonly mean: number; readonly scale: number } => {
  const mean = row.reduce((s, v) => s + v, 0) / row.length;
  const variance = row.reduce((s, v) => s + (v - mean) ** 2, 0) / row.length;
  return { mean, scale: 1 / Math.sqrt(variance + eps) };
};

/** The same in WGSL for a row pass over `x`: declares `base`, `mean`, `scale`. Two passes: a difference of squares would lose digits. */
export const momentsWgsl = `
  let base = row * p.width;
  var total = 0.0;
  for (var j = first; j < p.width; j += step) { total += x[base + j]; }
  let mean = row_sum(total, lane) / f32(p.width);
  var squares = 0.0;
  for (var j = first; j < p.width; j += step) {
    let centred = x[base + j] - mean;
    squares += centred * centred;
  }
  let scale = inverseSqrt(row_sum(squares, lane) / f32(p.width) + p.eps);`;

const read = (buffer: string) => ({ buffer, access: 'read', element: 'f32' }) as const;
const write = (buffer: string) => ({ buffer, access: 'read_write', element: 'f32' }) as const;

const dxWgsl = `
  var pull = 0.0;
  var along = 0.0;
  for (var j = first; j < p.width; j += step) {
    let g = weight[j] * dy[base + j];
    pull += g;
    along += g * (x[base + j] - mean) * scale;
  }
  pull = row_sum(pull, lane) / f32(p.width);
  along = row_sum(along, lane) / f32(p.width);
  for (var j = first; j < p.width; j += step) {
    out0[base + j] = scale * (weight[j] * dy[base + j] - pull - (x[base + j] - mean) * scale * along);
  }`;

const kernel: Kernel<'x' | 'weight' | 'dy', NormAttrs> = {
  kind: 'dispatch',
  plan: ({ inputs: { x }, outs: [dx, dWeight, dBias] }, { eps }, device) => {
    const { rows, width } = rowsOf(x!);
    const moments = dWeight ? [write('moments')] : [];
    const store = dWeight ? 'if (first == 0u) { moments[2u * row] = mean; moments[2u * row + 1u] = scale; }' : '';
    const byRow = rowDispatch(
      {
        rows,
        width,
        bindings: [read('x'), ...(dx ? [read('weight'), read('dy'), write('out0')] : []), ...moments],
        params: { eps: { f32: eps } },
        body: `${momentsWgsl}\n  ${store}${dx ? dxWgsl : ''}`,
      },
      device,
    );
    const scratch = 'blocks';
    const weightTerm = 'dy[at] * (x[at] - moments[2u * row]) * moments[2u * row + 1u]';
    const weightBindings = [read('x'), read('dy'), read('moments')];
    return {
      dispatches: [
        ...(dx || dWeight ? [byRow] : []),
        ...(dWeight
          ? columnSum({ rows, width, term: weightTerm, bindings: weightBindings, out: 'out1', scratch })
          : []),
        ...(dBias ? columnSum({ rows, width, term: 'dy[at]', bindings: [read('dy')], out: 'out2', scratch }) : []),
      ],
      temps: {
        ...(dWeight && { moments: 8 * rows }),
        ...((dWeight || dBias) && { [scratch]: columnScratch(rows, width) }),
      },
    };
  },
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
  kernel,
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
