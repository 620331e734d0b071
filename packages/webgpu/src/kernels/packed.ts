import { type Spec, sizeOf } from '@peftjs/tensor';
import type { DeviceFacts, Dispatch } from '../kernel.ts';
import type { KernelFor } from './kernel-for.ts';
import { matmulPlan } from './matmul-plan.ts';
import { packedElement, readPacked } from './packed-scales.ts';
import { packingBindings, packingParams, unpackWgsl } from './packing.ts';
import { lowest, rowDispatch, rowsOf } from './rows.ts';

/**
 * Rows of x rounded to steps of max|x| / 127, as `compute: 'int8'` has them; where x meets the outputs of W, it is x times their scale that is
 * rounded, and the scale is taken out again, since the product brings it.
 */
const roundRows = (x: Spec, byOutput: boolean, scale: Spec, device: DeviceFacts): Dispatch => {
  const { rows, width } = rowsOf(x);
  const factor = byOutput ? packedElement('scale', scale, 'j') : '1.0';
  return rowDispatch(
    {
      label: 'round rows',
      rows,
      width,
      bindings: [
        { buffer: 'x', access: 'read', element: 'f32' },
        ...(byOutput
          ? [{ buffer: 'scale', access: 'read', element: scale.dtype === 'f32' ? 'f32' : 'u32' } as const]
          : []),
        { buffer: 'rounded', access: 'read_write', element: 'f32' },
      ],
      body: `
  let base = row * p.width;
  var top = ${lowest};
  var sum = 0.0;
  for (var j = first; j < p.width; j += step) {
    let v = x[base + j] * ${factor};
    top = max(top, abs(v));
    sum += v;
  }
  // A maximum may pass over what is no number; a sum does not.
  let r = max(row_max(top, lane), 1e-30) * ${Math.fround(1 / 127)};
  let kept = r + 0.0 * row_sum(sum, lane);
  for (var j = first; j < p.width; j += step) {
    let s = ${factor};
    let q = round(x[base + j] * s * (1.0 / r)) * kept;
    rounded[base + j] = ${byOutput ? 'select(q / s, 0.0, s == 0.0)' : 'q'};
  }`,
    },
    device,
  );
};

export const matmulQuantizedKernel: KernelFor<'matmul_quantized'> = {
  kind: 'dispatch',
  emits: true,
  plan: ({ inputs: { x, codes, scale, ...scales }, outs: [out] }, attrs, device) => {
    const { dispatches, temps, packing, pitch } = readPacked({ codes: codes!, scale: scale!, ...scales }, attrs);
    const rounded = attrs.compute ? roundRows(x!, Boolean(attrs.transposed), scale!, device) : null;
    const product = matmulPlan(
      {
        label: 'matmul_quantized',
        m: sizeOf(x!.shape.slice(0, -1)),
        k: x!.shape.at(-1)!,
        n: out!.shape.at(-1)!,
        a: { buffer: rounded ? 'rounded' : 'x' },
        b: { buffer: 'codes', packing, pitch, transposed: !attrs.transposed },
        out: 'out0',
      },
      device,
    );
    return {
      dispatches: [...dispatches, ...(rounded ? [rounded] : []), ...product.dispatches],
      temps: { ...temps, ...(rounded && { rounded: 4 * sizeOf(x!.shape) }), ...product.temps },
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
