import type { Dispatch } from '../kernel.ts';
import { partsOf, windowBytes } from './position-shards.ts';

const rowStep = 64;

/** Rows of a table of 32-bit elements that is more than a kernel may bind: one pass per part of it; null where a part is too much still. */
export const gatherShards = (
  { rows, width, size }: { readonly rows: number; readonly width: number; readonly size: number },
  maxBytes: number,
): readonly Dispatch[] | null => {
  const step = Math.floor(maxBytes / (4 * width * rowStep)) * rowStep;
  if (step === 0) return null;
  return partsOf(rows, step).map((part): Dispatch => {
    const { first, count } = part;
    return {
      wgsl: `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.size) { return; }
  let row = index[i / p.width];
  if (row < 0 || row >= i32(p.rows)) {
    if (p.first == 0u) { out0[i] = 0u; }
    return;
  }
  if (u32(row) < p.first || u32(row) >= p.first + p.count) { return; }
  out0[i] = table[(u32(row) - p.first) * p.width + i % p.width];
}`,
      bindings: [
        {
          buffer: 'table',
          access: 'read',
          element: 'u32',
          window: windowBytes(part, 4 * width),
        },
        { buffer: 'index', access: 'read', element: 'i32' },
        { buffer: 'out0', access: 'read_write', element: 'u32' },
      ],
      params: { rows, width, size, first, count },
      workgroups: Math.ceil(size / 64),
    };
  });
};
