import { PeftError, packedFormats } from '@peftjs/tensor';
import type { CheckpointReader, FindExperts } from '@peftjs/transformer';
import { packedExperts } from '../packed-experts.ts';
import { bytesOf, expectTensor } from './tensors.ts';

/** Values that share a scale. */
const blockSize = 32;

/** The largest exponent with which every code is a finite f32. */
const safeExponent = 252;

/** Codes whose first in a byte lies in its upper bits, as here, of such whose first is in the lower. */
const swapped = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => (byte >> 4) | ((byte & 15) << 4));

/** Throws `bad-data` for an exponent that makes a value which is not finite. 255 is no number, by the OCP's format. */
const checkExponents = (who: string, exponents: Uint8Array, bytes: Uint8Array): void => {
  const { levels } = packedFormats.mxfp4;
  const half = blockSize / 2;
  exponents.forEach((exponent, block) => {
    if (exponent <= safeExponent) return;
    const scale = exponent === 255 ? Number.NaN : 2 ** (exponent - 127);
    const codes = [...bytes.subarray(block * half, (block + 1) * half)].flatMap((byte) => [byte >> 4, byte & 15]);
    const odd = codes.map((code) => Math.fround(levels[code]! * scale)).find((value) => !Number.isFinite(value));
    if (odd === undefined) return;
    throw new PeftError(
      'bad-data',
      `${who}: scale ${block} is 2^${exponent - 127}, which makes a value ${odd}; download the folder again.`,
    );
  });
};

/** Experts as transformers' `convert_moe_packed_tensors` unpacks them, which turns [out, in] to [in, out] besides. */
const experts: FindExperts = (checkpoint, path, shape) => {
  const [blocks, scales] = [`${path}_blocks`, `${path}_scales`];
  if (!checkpoint.tensors.has(blocks)) return null;
  const [count, outDim, inDim] = shape;
  if (inDim % blockSize > 0)
    throw new PeftError(
      'bad-shape',
      `${checkpoint.path}: ${path} has ${inDim} inputs by config.json, which blocks of ${blockSize} do not fill. Download the folder again, or correct the config.`,
    );
  const groups = [count, outDim, inDim / blockSize];
  expectTensor(checkpoint, blocks, [...groups, blockSize / 2], ['U8']);
  expectTensor(checkpoint, scales, groups, ['U8']);
  const codes = async (): Promise<Uint8Array> => swapped(await bytesOf(checkpoint, blocks));
  return {
    tensors: [blocks, scales],
    experts: (name, bias) =>
      packedExperts(name, shape, bias, {
        format: 'mxfp4',
        block: blockSize,
        codes,
        exponents: async () => {
          const exponents = await bytesOf(checkpoint, scales);
          if (exponents.some((exponent) => exponent > safeExponent))
            checkExponents(`${checkpoint.path}: ${path}`, exponents, await codes());
          return exponents;
        },
      }),
  };
};

/**
 * Checkpoints whose experts are in MXFP4, as OpenAI publishes gpt-oss: `loadModel(dir, { dtype: 'f16', readers: [mxfp4] })`. Floats of 4 bits and a power of two for 32 inputs,
 * v · 2^(e − 127). They stay so in memory and on the device, 4.25 bits a value whatever `dtype` says: what a row's expert holds is unpacked when its product is due. Merged experts are floats.
 * All else lies there as floats. A value that is not finite is refused when it is read (`bad-data`).
 * OpenAI, 2025. https://arxiv.org/abs/2508.10925; Rouhani et al., 2023 (Microscaling Data Formats). https://arxiv.org/abs/2310.10537; transformers, `integrations/mxfp4.py`.
 */
export const mxfp4: CheckpointReader = {
  method: 'mxfp4',
  open: ({ modules_to_not_convert: kept = null }, problems) => {
    // Which tensors are packed, their names tell.
    if (kept !== null && (!Array.isArray(kept) || kept.some((path) => typeof path !== 'string')))
      problems.push('quantization_config.modules_to_not_convert: is no list of names');
    return async () => null;
  },
  experts,
};
