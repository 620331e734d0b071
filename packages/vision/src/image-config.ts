import * as z from 'zod';
import type { Resample } from './resize.ts';

/** How pictures become pixels, by `preprocessor_config.json`. */
export interface ImageConfig {
  /** Whether grey and transparent pictures become red, green and blue. */
  readonly rgb: boolean;
  /** The size to which pictures are resized, or the length of their shorter edge; null: they are not. */
  readonly size: { readonly height: number; readonly width: number } | { readonly shortest: number } | null;
  readonly resample: Resample;
  /** The size of the middle that is kept; null: all is. */
  readonly crop: { readonly height: number; readonly width: number } | null;
  /** Factor of values; null: they stay from 0 to 255. */
  readonly rescale: number | null;
  /** Values become (value − mean) / std, by channel; null: they stay. */
  readonly normal: { readonly mean: readonly number[]; readonly std: readonly number[] } | null;
}

/** Pillow's numbers of filters. */
const resamples: readonly Resample[] = ['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming'];

const count = z.int().min(1);
const box = z.strictObject({ height: count, width: count });
const numbers = z.array(z.number()).min(1);

/** Defaults of a class of processors in transformers. */
interface Kind {
  readonly size: unknown;
  readonly resample: number;
  readonly crop: unknown;
  readonly hasCrop: boolean;
  /** Whether a `size` that is one number is that of both edges. */
  readonly square: boolean;
  readonly rgb: boolean;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const half = [0.5, 0.5, 0.5];
const clip = { mean: [0.48145466, 0.4578275, 0.40821073], std: [0.26862954, 0.26130258, 0.27577711] };
const square = (edge: number): unknown => ({ height: edge, width: edge });
const plain: Kind = {
  size: square(224),
  resample: 2,
  crop: null,
  hasCrop: false,
  square: true,
  rgb: false,
  mean: half,
  std: half,
};

const likeClip: Kind = {
  ...plain,
  size: { shortest_edge: 224 },
  resample: 3,
  crop: square(224),
  hasCrop: true,
  square: false,
  rgb: true,
  ...clip,
};

/** By the class's name, without `Fast` and what comes before it; transformers, `models/<name>/image_processing_pil_<name>.py`. */
const kinds: Readonly<Record<string, Kind>> = {
  ViT: plain,
  DeiT: { ...plain, size: square(256), resample: 3, crop: square(224), hasCrop: true },
  Beit: { ...plain, resample: 3, crop: square(224) },
  Bit: likeClip,
  CLIP: likeClip,
  Siglip: { ...plain, resample: 3, rgb: true },
};

const schema = z.looseObject({
  image_processor_type: z.string().nullish(),
  feature_extractor_type: z.string().nullish(),
  do_convert_rgb: z.boolean().nullish(),
  do_resize: z.boolean().nullish(),
  size: z.unknown().optional(),
  resample: z.int().min(0).max(5).nullish(),
  do_center_crop: z.boolean().nullish(),
  crop_size: z.unknown().optional(),
  do_rescale: z.boolean().nullish(),
  rescale_factor: z.number().positive().nullish(),
  do_normalize: z.boolean().nullish(),
  image_mean: numbers.nullish(),
  image_std: numbers.nullish(),
  do_pad: z.literal(false).nullish(),
});

type Size = NonNullable<ImageConfig['size']>;

const sizeOf = (value: unknown, isSquare: boolean): Size | null => {
  const whole = count.safeParse(value);
  if (whole.success) return isSquare ? { height: whole.data, width: whole.data } : { shortest: whole.data };
  const both = box.safeParse(value);
  if (both.success) return both.data;
  const edge = z.strictObject({ shortest_edge: count }).safeParse(value);
  return edge.success ? { shortest: edge.data.shortest_edge } : null;
};

/** The steps by our names, with the defaults of the class that the file names; or undefined; problems are collected. */
export const parseImageConfig = (json: unknown, problems: string[]): ImageConfig | undefined => {
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    problems.push(...parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));
    return undefined;
  }
  const raw = parsed.data;
  const name = raw.image_processor_type ?? raw.feature_extractor_type ?? '';
  const kind = kinds[/^(.*?)(ImageProcessor|FeatureExtractor)(Fast|Pil)?$/.exec(name)?.[1] ?? ''];
  if (!kind) {
    problems.push(
      `image_processor_type: ${JSON.stringify(name)} is not supported; there are ${Object.keys(kinds).join(', ')}`,
    );
    return undefined;
  }
  const size = sizeOf(raw.size ?? kind.size, kind.square);
  const crop = sizeOf(raw.crop_size ?? kind.crop ?? 1, true);
  if (!size) problems.push(`size: ${JSON.stringify(raw.size)} is neither { height, width } nor { shortest_edge }`);
  if (!crop || 'shortest' in crop) problems.push(`crop_size: ${JSON.stringify(raw.crop_size)} is no { height, width }`);
  const mean = raw.image_mean ?? kind.mean;
  const std = raw.image_std ?? kind.std;
  if (mean.length !== std.length || std.includes(0))
    problems.push(
      `image_mean, image_std: must have as many values, and no deviation of 0; got ${mean.join(', ')} and ${std.join(', ')}`,
    );
  if (!size || !crop || 'shortest' in crop) return undefined;
  return {
    rgb: raw.do_convert_rgb ?? kind.rgb,
    size: (raw.do_resize ?? true) ? size : null,
    resample: resamples[raw.resample ?? kind.resample]!,
    crop: (raw.do_center_crop ?? kind.hasCrop) ? crop : null,
    rescale: (raw.do_rescale ?? true) ? (raw.rescale_factor ?? 1 / 255) : null,
    normal: (raw.do_normalize ?? true) ? { mean, std } : null,
  };
};
