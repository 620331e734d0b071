import { sizeOf } from '@peftjs/tensor';
import type { Dispatch } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { positionParts, windowOf } from './position-shards.ts';

const lanes = 64;
/** Values that a workgroup adds up. */
const piece = 4096;

/** Every lane adds a stride, then the lanes join as a tree, always in the same order. */
const sumOf = (term: string, store: string): string => `
var<workgroup> sums: array<f32, ${lanes}>;
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let part = group_index(group);
  let end = min((part + 1u) * p.piece, p.size);
  var sum = 0.0;
  for (var i = part * p.piece + lane; i < end; i += ${lanes}u) { sum += ${term}; }
  sums[lane] = sum;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0u) { ${store} }
}`;

/** Sums of pieces, then their sum. */
export const addSquaresKernel: KernelFor<'add_squares'> = {
  kind: 'dispatch',
  packs: { along: ['x'], carry: 'total' },
  plan: ({ inputs: { x } }, _, { maxBindingBytes }) => {
    const size = sizeOf(x!.shape);
    const parts = Math.max(1, Math.ceil(size / piece));
    const shards = positionParts(size, { bytes: 4, maxBytes: maxBindingBytes, unit: piece });
    const pieces = shards.map(
      (shard): Dispatch => ({
        label: 'add_squares: pieces',
        wgsl: sumOf('x[i] * x[i]', 'pieces[p.before + part] = sums[0];'),
        bindings: [
          { buffer: 'x', access: 'read', element: 'f32', ...windowOf(shard, size, 4) },
          { buffer: 'pieces', access: 'read_write', element: 'f32' },
        ],
        params: { size: shard.count, piece, before: shard.first / piece },
        workgroups: Math.max(1, Math.ceil(shard.count / piece)),
      }),
    );
    const whole: Dispatch = {
      wgsl: sumOf('pieces[i]', 'out0[0] = total[0] + sums[0];'),
      bindings: [
        { buffer: 'pieces', access: 'read', element: 'f32' },
        { buffer: 'total', access: 'read', element: 'f32' },
        { buffer: 'out0', access: 'read_write', element: 'f32' },
      ],
      params: { size: parts, piece: parts },
      flops: parts,
      workgroups: 1,
    };
    return { dispatches: [...pieces, whole], temps: { pieces: 4 * parts } };
  },
};
