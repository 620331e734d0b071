import { sizeOf } from '@peftjs/tensor';
import type { KernelFor } from './kernel-for.ts';

const wgsl = `
fn lowbias32(value: u32) -> u32 {
  var x = value;
  x = (x ^ (x >> 16u)) * 0x7feb352du;
  x = (x ^ (x >> 15u)) * 0x846ca68bu;
  return x ^ (x >> 16u);
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.size) { return; }
  out0[i] = lowbias32(i + lowbias32(p.stream * 0x9e3779b9u + lowbias32(seed[0])));
}`;

export const randomBitsKernel: KernelFor<'random_bits'> = {
  kind: 'dispatch',
  plan: (_, { shape, stream }) => {
    const size = sizeOf(shape);
    const bindings = [
      { buffer: 'seed', access: 'read', element: 'u32' },
      { buffer: 'out0', access: 'read_write', element: 'u32' },
    ] as const;
    return {
      dispatches: size === 0 ? [] : [{ wgsl, bindings, params: { size, stream }, workgroups: Math.ceil(size / 64) }],
    };
  },
};
