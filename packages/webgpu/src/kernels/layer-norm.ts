import { columnScratch, columnSum } from './columns.ts';
import type { KernelFor } from './kernel-for.ts';
import { rowDispatch, rowsOf } from './rows.ts';

/** Mean and 1/√(variance + eps) of a row, in WGSL for a row pass over `x`: declares `base`, `mean`, `scale`. Two passes: a difference of squares would lose digits. */
const momentsWgsl = `
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

export const layerNormKernel: KernelFor<'layer_norm'> = {
  kind: 'dispatch',
  plan: ({ inputs: { x } }, { eps }, device) => {
    const body = `${momentsWgsl}
  for (var j = first; j < p.width; j += step) { out0[base + j] = (x[base + j] - mean) * scale * weight[j] + bias[j]; }`;
    const bindings = [
      { buffer: 'x', access: 'read', element: 'f32' },
      { buffer: 'weight', access: 'read', element: 'f32' },
      { buffer: 'bias', access: 'read', element: 'f32' },
      { buffer: 'out0', access: 'read_write', element: 'f32' },
    ] as const;
    return { dispatches: [rowDispatch({ ...rowsOf(x!), bindings, params: { eps: { f32: eps } }, body }, device)] };
  },
};

export const layerNormGradKernel: KernelFor<'layer_norm_grad'> = {
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
