import { sizeOf } from '@peftjs/tensor';
import type { KernelFor } from './kernel-for.ts';
import { matmulPlan } from './matmul-plan.ts';
import { readPacked } from './packed-scales.ts';
import { packingBindings, packingParams, unpackWgsl } from './packing.ts';

export const matmulQuantizedKernel: KernelFor<'matmul_quantized'> = {
  kind: 'dispatch',
  emits: true,
  plan: ({ inputs: { x, codes, scale, ...scales }, outs: [out] }, attrs, device) => {
    const { dispatches, temps, packing, pitch } = readPacked({ codes: codes!, scale: scale!, ...scales }, attrs);
    const product = matmulPlan(
      {
        label: 'matmul_quantized',
        m: sizeOf(x!.shape.slice(0, -1)),
        k: x!.shape.at(-1)!,
        n: out!.shape.at(-1)!,
        a: { buffer: 'x' },
        b: { buffer: 'codes', packing, pitch, transposed: !attrs.transposed },
        out: 'out0',
      },
      device,
    );
    return { dispatches: [...dispatches, ...product.dispatches], temps: { ...temps, ...product.temps } };
  },
};

export const dequantizeKernel: KernelFor<'dequantize'> = {
  kind: 'dispatch',
  plan: ({ inputs: { codes, scale, ...scales }, outs: [out] }, attrs) => {
    const { dispatches, temps, packing, pitch } = readPacked({ codes: codes!, scale: scale!, ...scales }, attrs);
    const size = sizeOf(out!.shape);
    const wgsl = `${unpackWgsl('codes', packing)}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i < p.size) { out0[i] = at_codes((i / p.columns) * p.pitch + i % p.columns); }
}`;
    return {
      dispatches: [
        ...dispatches,
        {
          wgsl,
          bindings: [
            { buffer: 'codes', access: 'read', element: 'u32' },
            ...packingBindings('codes', packing),
            { buffer: 'out0', access: 'read_write', element: 'f32' },
          ],
          params: { size, columns: attrs.inDim, pitch, ...packingParams('codes', packing) },
          workgroups: Math.ceil(size / 64),
        },
      ],
      temps,
    };
  },
};
