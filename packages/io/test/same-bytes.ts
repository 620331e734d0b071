import { bytesOfArray } from '../src/safetensors/dtype.ts';

/** Whether two arrays are of one kind and hold the same bits; far faster than a matcher on large arrays. */
export const sameBytes = (a: ArrayBufferView, b: ArrayBufferView): boolean =>
  a.constructor === b.constructor && Buffer.compare(bytesOfArray(a), bytesOfArray(b)) === 0;
