import { PeftError } from '@peftjs/tensor';
import { decodeJpeg } from './decode-jpeg.ts';
import { decodePng } from './decode-png.ts';
import type { Picture } from './picture.ts';

const begins = (bytes: Uint8Array, ...first: readonly number[]): boolean => first.every((byte, i) => bytes[i] === byte);

/**
 * The picture in the bytes of a PNG or JPEG file. Decoders are loaded when first needed. A JPEG's orientation is not applied, as Pillow's `open` does not. Throws `bad-data`
 * for other files, and for what cannot be decoded.
 */
export const decodeImage = async (bytes: Uint8Array): Promise<Picture> => {
  const decode = begins(bytes, 0x89, 0x50, 0x4e, 0x47)
    ? decodePng
    : begins(bytes, 0xff, 0xd8, 0xff)
      ? decodeJpeg
      : null;
  if (!decode)
    throw new PeftError('bad-data', 'decodeImage: these bytes are neither a PNG nor a JPEG file; convert the picture');
  try {
    return await decode(bytes);
  } catch (cause) {
    if (cause instanceof PeftError) throw cause;
    throw new PeftError(
      'bad-data',
      `decodeImage: the file cannot be decoded (${cause instanceof Error ? cause.message : String(cause)}); save it again`,
      { cause },
    );
  }
};
