import { defineOp, type Op } from '../define-op.ts';
import { accepts } from './accepts.ts';

/** f32 in [0, 1) of the upper 24 of 32 random bits: (bits >> 8)·2⁻²⁴, exact. */
export const bitsToUniform: Op<'bits_to_uniform', readonly ['bits']> = defineOp({
  name: 'bits_to_uniform',
  inputs: ['bits'],
  infer: ({ bits }) => {
    accepts('bitsToUniform', 'bits', bits, ['u32']);
    return { shape: bits.shape, dtype: 'f32' as const };
  },
  vjp: 'none',
  reference: ({ bits }) => bits.map((b) => Math.floor(b / 256) * 2 ** -24),
  samples: [
    { shapes: { bits: [3, 257] }, dtypes: { bits: 'u32' }, ranges: { bits: [0, 2 ** 32] } },
    { shapes: { bits: [] }, dtypes: { bits: 'u32' }, values: { bits: () => 2 ** 32 - 1 } },
    { shapes: { bits: [0] }, dtypes: { bits: 'u32' } },
  ],
});
