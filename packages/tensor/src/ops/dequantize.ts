import { defineOp, type Op } from '../define-op.ts';
import { sizeOf } from '../shape.ts';
import { checkPacked, type PackedAttrs, type PackedInputs, type PackedOptional, unpack } from './packed-matrix.ts';
import { packedSamples } from './packed-samples.ts';
import { readPacked } from './wgsl/packed-scales.ts';
import { unpackWgsl } from './wgsl/packing.ts';

/**
 * The values [outDim, inDim] of a packed matrix, f32: each the level of its code times the scale of its block. Throws `bad-shape`,
 * `bad-dtype`, `bad-option`. Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023. https://arxiv.org/abs/2305.14314
 */
export const dequantize: Op<'dequantize', PackedInputs, PackedOptional, PackedAttrs> = defineOp({
  name: 'dequantize',
  inputs: ['codes', 'scale'],
  optional: ['scaleCodes', 'scaleOffset'],
  infer: (packed, attrs) => ({
    shape: [checkPacked('dequantize', packed, attrs), attrs.inDim],
    dtype: 'f32' as const,
  }),
  kernel: {
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
              { buffer: packing.scales, as: 'codes_scales', access: 'read', element: 'f32' },
              { buffer: 'out0', access: 'read_write', element: 'f32' },
            ],
            params: { size, columns: attrs.inDim, pitch, codesBlock: packing.block },
            workgroups: Math.ceil(size / 64),
          },
        ],
        temps,
      };
    },
  },
  // Codes have no gradient, and the scales that go with them are as frozen.
  vjp: 'none',
  reference: (packed, specs, attrs) => unpack(packed, specs.codes.shape[0]!, attrs),
  samples: packedSamples,
});
