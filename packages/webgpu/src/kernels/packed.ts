import { isWhole, type Spec, sizeOf } from '@peftjs/tensor';
import type { DeviceFacts } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { frozenPlan } from './matmul-frozen.ts';
import { matmulPlan } from './matmul-plan.ts';
import { type Readable, readPacked } from './packed-scales.ts';
import { packingBindings, packingParams, unpackWgsl } from './packing.ts';
import { type Factor, roundedPitch, roundRows } from './round-rows.ts';
import { wholeRows } from './whole-rows.ts';

/**
 * Both sides of a product of whole numbers. Transposed, the sum runs over the outputs of W: their scales go with x before it is rounded, and codes stand for themselves.
 */
const wholeSides = (
  x: Spec,
  codes: string,
  scale: Factor,
  { packing, pitch }: Readable,
  transposed: boolean,
  device: DeviceFacts,
) => {
  const width = x.shape.at(-1)!;
  const [rows, rounded] = [sizeOf(x.shape) / width, roundedPitch(width)];
  const { scales: _, ...levels } = packing;
  return {
    round: roundRows(x, transposed ? scale : null, device),
    temps: { rounded: rows * rounded, steps: 4 * rows },
    a: { buffer: 'rounded', packing: { format: packing.format, scales: 'steps', block: rounded }, pitch: rounded },
    b: { buffer: codes, packing: transposed ? levels : packing, pitch, transposed: !transposed },
  };
};

export const matmulQuantizedKernel: KernelFor<'matmul_quantized'> = {
  kind: 'dispatch',
  emits: true,
  plan: ({ inputs: { x, codes, scale, ...scales }, outs: [out] }, attrs, device) => {
    const { transposed = false, compute } = attrs;
    const packed = { codes: codes!, scale: scale!, ...scales };
    const readable = readPacked(packed, attrs);
    const { packing, pitch } = readable;
    const sizes = {
      label: 'matmul_quantized',
      m: sizeOf(x!.shape.slice(0, -1)),
      k: x!.shape.at(-1)!,
      n: out!.shape.at(-1)!,
      out: 'out0',
    };
    if (compute) {
      const isStored = isWhole(attrs, packed);
      const whole = isStored ? readable : wholeRows(readable, codes!.shape[0]!, attrs, device);
      const [buffer, factor]: [string, Factor] = isStored
        ? ['codes', { buffer: 'scale', dtype: scale!.dtype }]
        : ['whole', { buffer: 'wholeSteps', dtype: 'f32' }];
      const { round, temps, a, b } = wholeSides(x!, buffer, factor, whole, transposed, device);
      const product = matmulPlan({ ...sizes, a, b }, device);
      // Transposed, scales are read as they lie.
      const before = transposed && isStored ? { dispatches: [], temps: {} } : whole;
      return {
        dispatches: [...before.dispatches, round, ...product.dispatches],
        temps: { ...before.temps, ...temps, ...product.temps },
      };
    }
    const product = frozenPlan(
      { ...sizes, a: { buffer: 'x' }, b: { buffer: 'codes', packing, pitch, transposed: !transposed } },
      x!,
      device,
    );
    return {
      dispatches: [...readable.dispatches, ...product.dispatches],
      temps: { ...readable.temps, ...product.temps },
    };
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
