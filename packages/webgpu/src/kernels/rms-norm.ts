import { columnScratch, columnSum } from './columns.ts';
import type { KernelFor } from './kernel-for.ts';
import { rowDispatch, rowsOf } from './rows.ts';

const read = (buffer: string) => ({ buffer, access: 'read', element: 'f32' }) as const;
const write = (buffer: string) => ({ buffer, access: 'read_write', element: 'f32' }) as const;

export const rmsNormKernel: KernelFor<'rms_norm'> = {
  kind: 'dispatch',
  emits: true,
  plan: ({ inputs: { x } }, { eps }, device) => {
    const body = `
  let base = row * p.width;
  var squares = 0.0;
  for (var j = first; j < p.width; j += step) { squares += x[base + j] * x[base + j]; }
  let scale = inverseSqrt(row_sum(squares, lane) / f32(p.width) + p.eps);
  for (var j = first; j < p.width; j += step) { emit(base + j, x[base + j] * scale * weight[j]); }`;
    const bindings = [
      { buffer: 'x', access: 'read', element: 'f32' },
      { buffer: 'weight', access: 'read', element: 'f32' },
      { buffer: 'out0', access: 'read_write', element: 'f32' },
    ] as const;
    return {
      dispatches: [
        rowDispatch({ ...rowsOf(x!), bindings, emits: 'out0', params: { eps: { f32: eps } }, body }, device),
      ],
    };
  },
};

export const rmsNormGradKernel: KernelFor<'rms_norm_grad'> = {
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
