import { PeftError } from '@peftjs/tensor';
import type { Picture } from './picture.ts';

/** More than any photograph has; a file says what it likes. */
const most = 2 ** 27;

/** Values of fewer than 8 bits, packed row by row, spread from 0 to 255. */
const unpacked = (packed: ArrayLike<number>, width: number, height: number, depth: number): Uint8Array => {
  const perByte = 8 / depth;
  const stride = Math.ceil(width / perByte);
  const largest = 2 ** depth - 1;
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    const shift = 8 - depth * ((x % perByte) + 1);
    return (((packed[y * stride + Math.floor(x / perByte)]! >> shift) & largest) * 255) / largest;
  });
};

/**
 * The picture in a PNG file. Palettes become colours; of 16 bits the upper 8 stay, as in Pillow. Throws `bad-data` for sizes that no picture has, for grey of 16 bits, and where
 * one colour is declared transparent.
 */
export const decodePng = async (bytes: Uint8Array): Promise<Picture> => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pixels = bytes.length < 24 ? 0 : view.getUint32(16) * view.getUint32(20);
  if (pixels === 0 || pixels > most)
    throw new PeftError(
      'bad-data',
      `decodeImage: the PNG file says that it has ${pixels} pixels; from 1 to ${most} are read`,
    );
  const { decode, convertIndexedToRgb } = await import('fast-png');
  const png = decode(bytes, { checkCrc: true });
  const { width, height, depth, channels, data, palette, transparency } = png;
  if (palette) {
    const rgb = convertIndexedToRgb(png);
    return { width, height, channels: rgb.length === width * height * 4 ? 4 : 3, data: Uint8Array.from(rgb) };
  }
  if (transparency && transparency.length > 0)
    throw new PeftError(
      'bad-data',
      'decodeImage: the PNG file declares one colour transparent, which is not read; save it with opacity',
    );
  if (depth === 16 && channels < 3)
    throw new PeftError('bad-data', 'decodeImage: the PNG file is grey of 16 bits, which is not read; save it with 8');
  const values =
    depth < 8
      ? unpacked(data, width, height, depth)
      : depth === 16
        ? Uint8Array.from(data, (v) => v >> 8)
        : Uint8Array.from(data);
  return { width, height, channels: channels as Picture['channels'], data: values };
};
