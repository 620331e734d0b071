import { defineOp, type Op } from '../define-op.ts';
import { checkPacked, type PackedAttrs, type PackedInputs, type PackedOptional, unpack } from './packed-matrix.ts';
import { packedSamples } from './packed-samples.ts';

/**
 * The values [outDim, inDim] of a packed matrix, f32: each the level of its code times the scale of its block, less the block's minimum (see `Packed`). Throws `bad-shape`,
 * `bad-dtype`, `bad-option`. Dettmers, Pagnoni, Holtzman & Zettlemoyer, 2023. https://arxiv.org/abs/2305.14314
 */
export const dequantize: Op<'dequantize', PackedInputs, PackedOptional, PackedAttrs> = defineOp({
  name: 'dequantize',
  inputs: ['codes', 'scale'],
  optional: ['scaleCodes', 'scaleOffset', 'high', 'min', 'minCodes'],
  infer: (packed, attrs) => ({
    shape: [checkPacked('dequantize', packed, attrs), attrs.inDim],
    dtype: 'f32' as const,
  }),
  // Codes have no gradient, and the scales that go with them are as frozen.
  vjp: 'none',
  reference: (packed, specs, attrs) => unpack(packed, specs.codes.shape[0]!, attrs),
  samples: packedSamples,
});
