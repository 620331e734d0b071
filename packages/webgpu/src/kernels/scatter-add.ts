import { sizeOf } from '@peftjs/tensor';
import type { Binding, Dispatch, KernelPlan } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { positionParts, windowOf } from './position-shards.ts';

interface ScatterSizes {
  /** Rows to add. */
  readonly count: number;
  /** Rows of the result, and values in each. */
  readonly rows: number;
  readonly width: number;
}

/** An invocation per `i` below `size`. */
export const entry = (size: string, body: string): string => `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= ${size}) { return; }
${body}
}`;

const clear = entry('p.rows', '  heads[i] = 0xffffffffu;');

/** Each row's successor with the same index; the first of an index is entered as its head, which nobody else writes. */
const link = entry(
  'p.count',
  `
  let row = index[i];
  if (row < 0 || row >= i32(p.rows)) { return; }
  var next = i + 1u;
  while (next < p.count && index[next] != row) { next++; }
  nexts[i] = next;
  var before = i;
  while (before > 0u && index[before - 1u] != row) { before--; }
  if (before == 0u) { heads[row] = i; }`,
);

const add = entry(
  'p.rows * p.width',
  `
  let column = i % p.width;
  var sum = 0.0;
  for (var at = heads[p.first + i / p.width]; at < p.count; at = nexts[at]) { sum += values[at * p.width + column]; }
  out0[i] = sum;`,
);

const read = (buffer: string, element: string): Binding => ({ buffer, access: 'read', element });
const write = (buffer: string, element: string): Binding => ({ buffer, access: 'read_write', element });

/**
 * Scatter-add without atomics, so that sums repeat to the bit. The rows of one index are linked to a list in the order in which they come
 * (count² reads of the index at worst, of few bytes each); then one invocation per result value walks the list of its row. That is
 * rows · width + count · width work, where scanning the index for every result would be rows · count.
 */
const scatterAddPlan = ({ count, rows, width }: ScatterSizes, maxBytes?: number): KernelPlan => {
  const size = rows * width;
  if (size === 0) return { dispatches: [] };
  const dispatch = (label: string, wgsl: string, n: number, bindings: readonly Binding[]): Dispatch => ({
    label: `scatter_add ${label}`,
    wgsl,
    bindings,
    params: { count, rows, width },
    workgroups: Math.ceil(n / 64),
  });
  const dispatches = [
    dispatch('clear', clear, rows, [write('heads', 'u32')]),
    ...(count > 0
      ? [dispatch('link', link, count, [read('index', 'i32'), write('heads', 'u32'), write('nexts', 'u32')])]
      : []),
    ...positionParts(size, { bytes: 4, maxBytes, unit: width }).map((part): Dispatch => {
      const out = { ...write('out0', 'f32'), ...windowOf(part, size, 4) };
      const bindings = [read('values', 'f32'), read('heads', 'u32'), read('nexts', 'u32'), out];
      const own = { count, rows: part.count / width, width, first: part.first / width };
      return { ...dispatch('add', add, part.count, bindings), params: own };
    }),
  ];
  return { dispatches, temps: { heads: rows * 4, nexts: Math.max(count, 1) * 4 } };
};

export const scatterAddKernel: KernelFor<'scatter_add'> = {
  kind: 'dispatch',
  plan: ({ inputs, outs }, { rows }, { maxBindingBytes }) =>
    scatterAddPlan(
      { count: sizeOf(inputs.index!.shape), rows, width: sizeOf(outs[0]!.shape.slice(1)) },
      maxBindingBytes,
    ),
};
