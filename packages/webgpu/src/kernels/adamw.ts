import { sizeOf } from '@peftjs/tensor';
import type { Dispatch } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { positionParts, windowOf } from './position-shards.ts';

export const adamwKernel: KernelFor<'adamw'> = {
  kind: 'dispatch',
  packs: { along: ['weight', 'grad', 'm', 'v'], updates: { out0: 'weight', out1: 'm', out2: 'v' } },
  plan: ({ inputs: { weight }, outs }, _, { maxBindingBytes }) => {
    const size = sizeOf(weight!.shape);
    const store = (index: number, before: string, now: string): string =>
      outs[index] ? `out${index}[i] = select(${before}, ${now}, moves);` : '';
    const wgsl = `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group_index(group) * 64u + lane;
  if (i >= p.size) { return; }
  let moves = hyper[7] != 0.0;
  let g = grad[i] * hyper[7];
  let m1 = hyper[1] * m[i] + (1.0 - hyper[1]) * g;
  let v1 = hyper[2] * v[i] + (1.0 - hyper[2]) * g * g;
  let step = (m1 / hyper[5]) / (sqrt(v1 / hyper[6]) + hyper[3]);
  let w = weight[i];
  ${store(0, 'w', 'w - hyper[0] * (step + hyper[4] * w)')}
  ${store(1, 'm[i]', 'm1')}
  ${store(2, 'v[i]', 'v1')}
}`;
    const dispatches = positionParts(size, { bytes: 4, maxBytes: maxBindingBytes }).map((part): Dispatch => {
      const window = windowOf(part, size, 4);
      const read = ['weight', 'grad', 'm', 'v'].map(
        (buffer) => ({ buffer, access: 'read', element: 'f32', ...window }) as const,
      );
      const written = outs.flatMap((out, i) =>
        out ? [{ buffer: `out${i}`, access: 'read_write', element: 'f32', ...window } as const] : [],
      );
      const bindings = [...read, { buffer: 'hyper', access: 'read', element: 'f32' } as const, ...written];
      return { wgsl, bindings, params: { size: part.count }, workgroups: Math.ceil(part.count / 64) };
    });
    return {
      dispatches,
      inPlace: { out0: ['weight'], out1: ['m'], out2: ['v'] },
    };
  },
};
