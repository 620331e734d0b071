import type { Binding, DeviceFacts, Dispatch } from '../kernel.ts';
import { lowest, rowDispatch } from './rows.ts';

const read = (buffer: string, element = 'f32'): Binding => ({ buffer, access: 'read', element });
const write = (buffer: string, element = 'f32'): Binding => ({ buffer, access: 'read_write', element });

const lanes = 64;

const entry = `@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {`;

/** `counts` = [how many rows have a label, then those rows in order]: each lane lists its share after the lanes before it. */
export const listLabelled = (rows: number, vocabulary: number, ignoreIndex: number): Dispatch => ({
  label: 'labelled rows',
  wgsl: `
var<workgroup> shares: array<u32, ${lanes}>;
fn labelled(row: u32) -> bool {
  let label = labels[row];
  return label != bitcast<i32>(p.ignored) && label >= 0 && label < i32(p.vocabulary);
}
${entry}
  let start = min(lane * p.share, p.rows);
  let end = min(start + p.share, p.rows);
  var found = 0u;
  for (var row = start; row < end; row++) { found += select(0u, 1u, labelled(row)); }
  shares[lane] = found;
  workgroupBarrier();
  var at = 1u;
  for (var before = 0u; before < lane; before++) { at += shares[before]; }
  if (lane == ${lanes - 1}u) { counts[0] = at - 1u + found; }
  for (var row = start; row < end; row++) {
    if (labelled(row)) {
      counts[at] = row;
      at++;
    }
  }
}`,
  bindings: [read('labels', 'i32'), write('counts', 'u32')],
  params: { rows, vocabulary, share: Math.ceil(rows / lanes), ignored: ignoreIndex >>> 0 },
  workgroups: 1,
});

/** Zeros. */
export const clearRows = (buffer: string, size: number): Dispatch => ({
  label: 'clear',
  wgsl: `
${entry}
  let i = group_index(group) * ${lanes}u + lane;
  if (i < p.size) { values[i] = 0.0; }
}`,
  bindings: [{ ...write(buffer), as: 'values' }],
  params: { size },
  workgroups: Math.ceil(size / lanes),
});

/** Some of the labelled rows: from the `first`, at most `rows`. */
interface RowChunk {
  readonly first: number;
  readonly rows: number;
  readonly dim: number;
}

const copyRows = (
  label: string,
  statement: string,
  bindings: readonly Binding[],
  { first, rows, dim }: RowChunk,
): Dispatch => ({
  label,
  wgsl: `
${entry}
  let i = group_index(group) * ${lanes}u + lane;
  if (i >= p.size || p.first + i / p.dim >= counts[0]) { return; }
  let at = counts[1u + p.first + i / p.dim] * p.dim + i % p.dim;
  ${statement}
}`,
  bindings: [read('counts', 'u32'), ...bindings],
  params: { first, dim, size: rows * dim },
  workgroups: Math.ceil((rows * dim) / lanes),
});

/** picked[i] = hidden[row i of the chunk]. */
export const gatherRows = (chunk: RowChunk): Dispatch =>
  copyRows('labelled hidden', 'picked[i] = hidden[at];', [read('hidden'), write('picked')], chunk);

/** dHidden[row i of the chunk] = dPicked[i]. */
export const scatterRows = (chunk: RowChunk): Dispatch =>
  copyRows('labelled dHidden', 'out1[at] = dPicked[i];', [read('dPicked'), write('out1')], chunk);

/** The chunk of logits to losses, and in place to gradients of the mean loss: (softmax − one-hot) / count; or, `byRow`, of each row's loss. */
export const rowLosses = (
  {
    first,
    rows,
    vocabulary,
    gradient,
    byRow = false,
  }: {
    readonly first: number;
    readonly rows: number;
    readonly vocabulary: number;
    readonly gradient: boolean;
    readonly byRow?: boolean;
  },
  device: DeviceFacts,
): Dispatch =>
  rowDispatch(
    {
      label: 'row losses',
      rows,
      width: vocabulary,
      params: { first },
      bindings: [
        read('labels', 'i32'),
        read('counts', 'u32'),
        gradient ? write('logits') : read('logits'),
        write('losses'),
      ],
      body: `
  let count = counts[0];
  if (p.first + row >= count) { return; }
  let label = u32(labels[counts[1u + p.first + row]]);
  let base = row * p.width;
  var top = ${lowest};
  for (var j = first; j < p.width; j += step) { top = max(top, logits[base + j]); }
  top = row_max(top, lane);
  var total = 0.0;
  for (var j = first; j < p.width; j += step) { total += exp(logits[base + j] - top); }
  total = row_sum(total, lane);
  if (first == 0u) { losses[p.first + row] = top + log(total) - logits[base + label]; }${
    gradient
      ? `
  for (var j = first; j < p.width; j += step) {
    let weight = exp(logits[base + j] - top) / total;
    logits[base + j] = (weight - select(0.0, 1.0, j == label))${byRow ? '' : ' / f32(count)'};
  }`
      : ''
  }`,
    },
    device,
  );

/** out0[row i of the chunk] = losses[i], of all labelled rows. */
export const scatterLosses = (rows: number): Dispatch => ({
  label: 'labelled losses',
  wgsl: `
${entry}
  let i = group_index(group) * ${lanes}u + lane;
  if (i < counts[0]) { out0[counts[1u + i]] = losses[i]; }
}`,
  bindings: [read('counts', 'u32'), read('losses'), write('out0')],
  workgroups: Math.ceil(rows / lanes),
});

/** The mean of the losses of labelled rows, 0 without any. */
export const meanLoss = (): Dispatch => ({
  label: 'mean loss',
  wgsl: `
var<workgroup> sums: array<f32, ${lanes}>;
${entry}
  var total = 0.0;
  for (var i = lane; i < counts[0]; i += ${lanes}u) { total += losses[i]; }
  sums[lane] = total;
  workgroupBarrier();
  if (lane == 0u) {
    for (var other = 1u; other < ${lanes}u; other++) { total += sums[other]; }
    out0[0] = total / f32(max(counts[0], 1u));
  }
}`,
  bindings: [read('counts', 'u32'), read('losses'), write('out0')],
  workgroups: 1,
});
