import { PeftError, packedFormats } from '@peftjs/tensor';
import type { CheckpointReader, FindExperts } from '@peftjs/transformer';
import { bytesOf, expectTensor } from './tensors.ts';

/** Values that share a scale. */
const blockSize = 32;

/** The largest exponent with which every code is a finite f32. */
const safeExponent = 252;

/** Values of all codes by exponent: 16 for each, value · 2^(exponent − 127). The exponent 255 is no number, by the OCP's format. */
const valueTable = (): Float32Array => {
  const { levels } = packedFormats.mxfp4;
  return Float32Array.from({ length: 256 * 16 }, (_, i) => {
    const [exponent, code] = [i >> 4, i & 15];
    // The upper bit is the sign, of zeros too.
    return exponent === 255 ? Number.NaN : (code < 8 ? 1 : -1) * levels[code & 7]! * 2 ** (exponent - 127);
  });
};

const zeros = (who: string, length: number): Float32Array => {
  try {
    return new Float32Array(length);
  } catch (cause) {
    throw new PeftError('out-of-memory', `${who}: ${length} values in f32 do not fit in memory.`, { cause });
  }
};

/** Blocks of 16 bytes, the first of two codes in a byte's lower bits, and an exponent for each. Throws `bad-data` for a value that is not finite. */
const unpack = (who: string, bytes: Uint8Array, exponents: Uint8Array): Float32Array => {
  const values = zeros(who, 2 * bytes.length);
  const table = valueTable();
  const half = blockSize / 2;
  for (let block = 0; block < exponents.length; block++) {
    const exponent = exponents[block]!;
    const row = exponent << 4;
    for (let i = block * half; i < (block + 1) * half; i++) {
      const byte = bytes[i]!;
      values[2 * i] = table[row | (byte & 15)]!;
      values[2 * i + 1] = table[row | (byte >> 4)]!;
    }
    if (exponent <= safeExponent) continue;
    const start = block * blockSize;
    const odd = values.subarray(start, start + blockSize).find((value) => !Number.isFinite(value));
    if (odd !== undefined)
      throw new PeftError(
        'bad-data',
        `${who}: scale ${block} is 2^${exponent - 127}, which makes a value ${odd}; download the folder again.`,
      );
  }
  return values;
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
  return {
    tensors: [blocks, scales],
    read: async () =>
      unpack(`${checkpoint.path}: ${path}`, await bytesOf(checkpoint, blocks), await bytesOf(checkpoint, scales)),
  };
};

/**
 * Checkpoints whose experts are in MXFP4, as OpenAI publishes gpt-oss: `loadModel(dir, { dtype: 'f16', readers: [mxfp4] })`. Floats of 4 bits and a power of two for 32 inputs,
 * v · 2^(e − 127). Each tensor is unpacked when an executor first needs it, to the bit in f32 and to the nearest in f16: experts stay packed in no executor, so they take 16 or 32 bits a value in place of 4.25.
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
