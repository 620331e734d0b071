import {
  add,
  cast,
  constant,
  dequantize,
  expertMatmulPacked,
  gather,
  type PackedFormat,
  packedFormats,
  reshape,
  type Tensor,
  type VariableInit,
  variable,
} from '@peftjs/tensor';
import { denseExperts, type Experts } from '@peftjs/transformer';

/** How matrices of experts are packed: rows in whole blocks, each with an exponent e, whose scale is 2^(e − 127). */
export interface ExpertPacking {
  readonly format: PackedFormat;
  readonly block: number;
  /** The values of each part when an executor first needs them: codes u8 [experts, outDim, bytes of a row]. */
  readonly codes: VariableInit;
  /** Exponents u8 [experts, outDim, blocks of a row]. */
  readonly exponents: VariableInit;
}

/** Scales by their exponent. */
const scales = Float32Array.from({ length: 256 }, (_, e) => 2 ** (e - 127));

/**
 * Experts that hold their matrices [count, outDim, inDim] packed, in memory and on the device: rows are multiplied by the codes of their experts as these are stored. Matrices that are encoded, as by
 * a merge, are held as floats: an update is mostly smaller than the steps of a few bits.
 */
export const packedExperts = (
  name: string,
  [count, outDim, inDim]: readonly [experts: number, outDim: number, inDim: number],
  bias: Tensor | null,
  { format, block, codes: readCodes, exponents: readExponents }: ExpertPacking,
): Experts => {
  const [rowBytes, blocks] = [(inDim * packedFormats[format].lowBits) / 8, inDim / block];
  const codes = variable(`${name}.codes`, [count, outDim, rowBytes], readCodes, 'u8');
  const exponents = variable(`${name}.exponents`, [count, outDim, blocks], readExponents, 'u8');
  return {
    count,
    inDim,
    outDim,
    bias,
    apply: (x, index) => {
      const y = expertMatmulPacked(x, codes, exponents, index, { format, block });
      return bias ? add(y, gather(bias, index)) : y;
    },
    dense: () => {
      const rows = count * outDim;
      const scale = gather(constant(scales, [256]), cast(reshape(exponents, [rows, blocks]), { dtype: 'i32' }));
      const values = dequantize(reshape(codes, [rows, rowBytes]), scale, null, null, null, null, null, {
        format,
        inDim,
        block,
      });
      return reshape(values, [count, outDim, inDim]);
    },
    encode: (weight) => denseExperts(weight, bias),
  };
};
