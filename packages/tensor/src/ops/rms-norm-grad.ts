import { defineOp, type Op } from '../define-op.ts';
import type { Kernel } from '../kernel.ts';
import { type Spec, sizeOf } from '../shape.ts';
import { type NormAttrs, normSpec, rowsOf } from './norm-spec.ts';
import { eachRow } from './softmax.ts';
import { columnScratch, columnSum } from './wgsl/columns.ts';
import { rowDispatch } from './wgsl/rows.ts';

const read = (buffer: string) => ({ buffer, access: 'read', element: 'f32' }) as const;
const write = (buffer: string) => ({ buffer, access: 'read_write', element: 'f32' }) as const;

const kernel: Kernel<'x' | 'weight' | 'dy', NormAttrs> = {
  kind: 'dispatch',
  emits: true,
  plan: ({ inputs: { x }, outs: [dx, dWeight] }, { eps }, device) => {
    const { rows, width } = rowsOf(x!);
    const body = `
  let base = row * p.width;
  var squares = 0.0;
  for (var j = first; j < p.width; j += step) { squares += x[base + j] * x[base + j]; }
  let scale = inverseSqrt(row_sum(squares, lane) / f32(p.width) + p.eps);
  ${dWeight ? 'if (first == 0u) { scales[row] = scale; }' : ''}
  ${
    dx
      ? `var along = 0.0;
  for (var j = first; j < p.width; j += step) { along += x[base + j] * weight[j] * dy[base + j]; }
  let shrink = scale * scale * row_sum(along, lane) / f32(p.width);
  for (var j = first; j < p.width; j += step) { emit(base + j, scale * (weight[j] * dy[base + j] - x[base + j] * shrink)); }`
      : ''
  }`;
    const bindings = [
      read('x'),
      ...(dx ? [read('weight'), read('dy'), write('out0')] : []),
      ...(dWeight ? [write('scales')] : []),
    ];
    const byRow = rowDispatch(
      { rows, width, bindings, ...(dx && { emits: 'out0' }), params: { eps: { f32: eps } }, body },
      device,
    );
    if (!dWeight) return { dispatches: [byRow] };
    const columns = columnSum({
      rows,
      width,
      term: 'dy[at] * x[at] * scales[row]',
      bindings: [read('x'), read('dy'), read('scales')],
      out: 'out1',
      scratch: 'blocks',
    });
    return { dispatches: [byRow, ...columns], temps: { scales: 4 * rows, blocks: columnScratch(rows, width) } };
  },
};

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
  kernel,
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
