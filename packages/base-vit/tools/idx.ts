import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** Numbers of an IDX file, the format of MNIST: a magic number, sizes in big-endian order, bytes. */
interface Idx {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Reads a gzipped IDX file of bytes. LeCun, Cortes & Burges, 1998. http://yann.lecun.com/exdb/mnist */
export function readIdx(file: string): Idx {
  const bytes = gunzipSync(readFileSync(file));
  const axes = bytes.readUInt32BE(0) - 0x800;
  if (axes < 1 || axes > 3) throw new Error(`${file}: not an IDX file of bytes`);
  const shape = Array.from({ length: axes }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const data = bytes.subarray(4 + 4 * axes);
  if (data.length !== shape.reduce((a, b) => a * b))
    throw new Error(`${file}: holds ${data.length} values, says [${shape}]`);
  return { shape, data };
}
