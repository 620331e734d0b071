import { PeftError } from '@peftjs/tensor';

/** A picture in memory. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1 for grey, 3 for red, green, blue; 2 and 4 with opacity behind. */
  readonly channels: 1 | 2 | 3 | 4;
  /** [height, width, channels] */
  readonly data: Uint8Array;
}

/** Throws `bad-data` where a picture's values do not fit its sizes. */
export const checkPicture = (who: string, { width, height, channels, data }: Picture): void => {
  const sizes = [width, height, channels];
  if (
    !sizes.every((n) => Number.isSafeInteger(n) && n > 0) ||
    channels > 4 ||
    data.length !== width * height * channels
  )
    throw new PeftError(
      'bad-data',
      `${who}: a picture of ${width} x ${height} with ${channels} channels has ${data.length} values; it must have width · height · channels, and 1 to 4 channels`,
    );
};

/**
 * A value in front of white, by its opacity: a weighted mean in whole numbers with 7 further bits, as Pillow rounds it. Its `src/libImaging/AlphaComposite.c`.
 */
const onWhite = (value: number, opacity: number): number => {
  const sum = (value * opacity + 255 * (255 - opacity)) * 128 + (128 << 7);
  return (((sum >> 8) + sum) >> 8) >> 7;
};

/** Red, green and blue of a picture: grey three times; what is transparent shows white. As of transformers, `convert_to_rgb`. */
export const toRgb = (image: Picture): Picture => {
  const { width, height, channels, data } = image;
  if (channels === 3) return image;
  const isGrey = channels < 3;
  const out = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const opacity = channels % 2 === 0 ? data[(i + 1) * channels - 1]! : 255;
    for (let c = 0; c < 3; c++) out[i * 3 + c] = onWhite(data[i * channels + (isGrey ? 0 : c)]!, opacity);
  }
  return { width, height, channels: 3, data: out };
};
