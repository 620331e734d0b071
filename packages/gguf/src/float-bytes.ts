import { float32ToBfloat16, float32ToHalf } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

/** Floats that a file holds. */
export type FloatStorage = 'F32' | 'F16' | 'BF16';

/** GGML's number of each type of floats, and the bytes of a value. */
export const floatTypes: { readonly [S in FloatStorage]: { readonly type: number; readonly width: number } } = {
  F32: { type: 0, width: 4 },
  F16: { type: 1, width: 2 },
  BF16: { type: 30, width: 2 },
};

const bytesOf = (array: Float32Array | Uint16Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Values as the bytes of floats, rounded to nearest even. Throws `bad-option` for values beyond F16. */
export const floatBytes = (who: string, name: string, storage: FloatStorage, values: Float32Array): Uint8Array => {
  if (storage === 'F32') return bytesOf(values);
  if (storage === 'BF16') return bytesOf(float32ToBfloat16(values));
  const bits = float32ToHalf(values);
  const beyond = bits.findIndex((half, i) => (half & 0x7fff) === 0x7c00 && Number.isFinite(values[i]));
  if (beyond < 0) return bytesOf(bits);
  throw new PeftError(
    'bad-option',
    `${who}: ${name} holds ${values[beyond]}, too large for F16, whose largest value is 65,504; take another storage, such as F32`,
  );
};
