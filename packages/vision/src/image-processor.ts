import { filesAt, joinPath, listed, type Place, readJsonObject } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import { centerCrop } from './crop.ts';
import { decodeImage } from './decode-image.ts';
import type { ImageConfig } from './image-config.ts';
import { checkPicture, type Picture, toRgb } from './picture.ts';
import { resize } from './resize.ts';

/** The pixels of a picture as a model reads them. */
export interface Pixels {
  /** Channels, height, width. */
  readonly shape: readonly [channels: number, height: number, width: number];
  readonly data: Float32Array;
}

/** A maker of pixels, as the model's authors made them. */
export interface ImageProcessor {
  readonly config: ImageConfig;
  /** The pixels of a picture, or of the bytes of a PNG or JPEG file. Throws `bad-data`. */
  process(image: Picture | Uint8Array): Promise<Pixels>;
}

const resized = (image: Picture, { size, resample }: ImageConfig): Picture => {
  if (!size) return image;
  if (!('shortest' in size)) return resize(image, size.width, size.height, resample);
  const [short, long] = [Math.min(image.width, image.height), Math.max(image.width, image.height)];
  const longer = Math.trunc((size.shortest * long) / short);
  return image.width <= image.height
    ? resize(image, size.shortest, longer, resample)
    : resize(image, longer, size.shortest, resample);
};

/** [channels, height, width] of [height, width, channels], rescaled and normalised in f32, as transformers rounds. */
const pixelsOf = (image: Picture, { rescale, normal }: ImageConfig): Pixels => {
  const { width, height, channels, data } = image;
  if (normal && normal.mean.length !== channels)
    throw new PeftError(
      'bad-data',
      `image processor: a picture of ${channels} channels cannot be normalised by ${normal.mean.length} means; make it one of ${normal.mean.length}, or say do_convert_rgb`,
    );
  const size = width * height;
  const out = new Float32Array(size * channels);
  for (let c = 0; c < channels; c++) {
    const [mean, std] = normal ? [Math.fround(normal.mean[c]!), Math.fround(normal.std[c]!)] : [0, 1];
    for (let i = 0; i < size; i++) {
      const value = Math.fround(data[i * channels + c]! * (rescale ?? 1));
      out[c * size + i] = normal ? Math.fround(value - mean) / std : value;
    }
  }
  return { shape: [channels, height, width], data: out };
};

/** A processor of a config. */
export const imageProcessor = (config: ImageConfig): ImageProcessor => ({
  config,
  process: async (given) => {
    const image = given instanceof Uint8Array ? await decodeImage(given) : given;
    checkPicture('image processor', image);
    if (!config.rgb && image.channels % 2 === 0)
      throw new PeftError(
        'bad-data',
        'image processor: the picture has opacity, and the config does not say do_convert_rgb; give it without, or say so in preprocessor_config.json',
      );
    const small = resized(config.rgb ? toRgb(image) : image, config);
    return pixelsOf(config.crop ? centerCrop(small, config.crop.width, config.crop.height) : small, config);
  },
});

/**
 * The image processor of a model's folder: `preprocessor_config.json`. Resizing is Pillow's, to the bit; all steps are those of transformers' processors of ViT, DeiT,
 * BEiT, BiT (DINOv2), CLIP and SigLIP. Throws `file-missing`, `bad-config` with all that is wrong or that is not computed here.
 */
export const loadImageProcessor = async (dir: Place): Promise<ImageProcessor> => {
  const files = await filesAt(dir);
  const path = 'preprocessor_config.json';
  const json = await readJsonObject(files, path, 'bad-config');
  const { parseImageConfig } = await import('./image-config.ts');
  const problems: string[] = [];
  const config = parseImageConfig(json, problems);
  if (!config || problems.length > 0)
    throw new PeftError('bad-config', `${joinPath(files.name, path)}: ${listed(problems)}`);
  return imageProcessor(config);
};
