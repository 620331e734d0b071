import { fromNode, isNode } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { Picture } from './picture.ts';

interface Decoded {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

/** The result of the decoder, which in Node has no `ImageData` to make. */
class Result implements Decoded {
  readonly data: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
  constructor(data: ArrayLike<number>, width: number, height: number) {
    this.data = data;
    this.width = width;
    this.height = height;
  }
}

interface Decoder {
  decode(bytes: Uint8Array, preserveOrientation: boolean): Decoded | null;
}

/** Does something with an `ImageData` in sight. */
const withImageData = <T>(does: () => T): T => {
  const scope = globalThis as { ImageData?: unknown };
  if (scope.ImageData !== undefined) return does();
  scope.ImageData = Result;
  try {
    return does();
  } finally {
    delete scope.ImageData;
  }
};

let decoder: Promise<Decoder> | undefined;

/** The bytes of the decoder's program on disk; undefined in a browser, which fetches them from beside the module. */
const programBytes = async (): Promise<Uint8Array<ArrayBuffer> | undefined> => {
  if (!isNode()) return undefined;
  const { readFile } = fromNode('node:fs/promises');
  const path = fromNode('node:module')
    .createRequire(import.meta.url)
    .resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm');
  return new Uint8Array(await readFile(path));
};

const open = async (): Promise<Decoder> => {
  const [{ default: make }, bytes] = await Promise.all([
    import('@jsquash/jpeg/codec/dec/mozjpeg_dec.js'),
    programBytes(),
  ]);
  const options = { noInitialRun: true, printErr: () => {}, ...(bytes && { wasmBinary: bytes }) };
  return (await withImageData(() => make(options))) as unknown as Decoder;
};

/** The picture in a JPEG file, by libjpeg's decoder (mozjpeg), as Pillow's: to the bit. Throws `bad-data`. */
export const decodeJpeg = async (bytes: Uint8Array): Promise<Picture> => {
  decoder ??= open();
  // What failed is tried again next time.
  decoder.catch(() => (decoder = undefined));
  const { decode } = await decoder;
  let found: Decoded | null;
  try {
    found = withImageData(() => decode(bytes, false));
  } catch (cause) {
    throw new PeftError('bad-data', 'decodeImage: the JPEG file cannot be decoded; save it again', { cause });
  }
  if (!found) throw new PeftError('bad-data', 'decodeImage: the JPEG file holds no picture; save it again');
  const { width, height, data } = found;
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => data[Math.floor(i / 3) * 4 + (i % 3)]!);
  return { width, height, channels: 3, data: rgb };
};
