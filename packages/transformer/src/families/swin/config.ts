import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { gridsOf } from './record.ts';

/**
 * A Swin: stages of blocks over a grid of patches, each stage of twice the width and half the grid of that before it. `hiddenSize` is the width of the
 * last stage, `layers` the blocks of all. Source: Liu and others, 2021; transformers, `SwinConfig`.
 */
export interface SwinConfig extends ModelConfig {
  /** Width of the first stage. */
  readonly embedSize: number;
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Heads of the blocks of each stage. */
  readonly heads: readonly number[];
  /** Edge of a window, in patches. */
  readonly window: number;
  /** Width of an MLP over that of its stage. */
  readonly mlpRatio: number;
  readonly normEps: number;
  readonly activation: Activation;
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean;
  /** Whether a table of positions is added to the embedded patches. */
  readonly positions: boolean;
  /** Channels, height and width of a picture, in pixels. */
  readonly picture: readonly [channels: number, height: number, width: number];
  /** Height and width of a patch, in pixels. */
  readonly patch: readonly [height: number, width: number];
}

const count = z.int().min(1);
const size = z.union([count, z.tuple([count, count])]);

const schema = z.object({
  embed_dim: count.default(96),
  depths: z.array(count).min(1).default([2, 2, 6, 2]),
  num_heads: z.array(count).min(1).default([3, 6, 12, 24]),
  window_size: count.default(7),
  mlp_ratio: z.number().positive().default(4),
  hidden_act: activationSchema.default('gelu'),
  layer_norm_eps: z.number().positive().default(1e-5),
  image_size: size.default(224),
  patch_size: size.default(4),
  num_channels: count.default(3),
  qkv_bias: z.boolean().default(true),
  use_absolute_embeddings: z.boolean().default(false),
});

const pairOf = (given: number | readonly [number, number]): readonly [number, number] =>
  typeof given === 'number' ? [given, given] : given;

const problemsOf = (config: SwinConfig): string[] => {
  const { embedSize, depths, heads, window, picture, patch } = config;
  const [, height, width] = picture;
  const problems: string[] = [];
  if (heads.length !== depths.length)
    problems.push(
      `num_heads has ${heads.length} entries and depths ${depths.length}; there must be one for each stage`,
    );
  for (const [i, count] of heads.entries())
    if ((embedSize * 2 ** i) % count !== 0)
      problems.push(`num_heads ${count} of stage ${i} does not divide its width ${embedSize * 2 ** i}`);
  if (height % patch[0] !== 0 || width % patch[1] !== 0)
    problems.push(`image_size ${height}x${width} is not a multiple of patch_size ${patch.join('x')}`);
  const small = gridsOf(config).findIndex((grid) => Math.min(...grid) < window);
  // transformers makes the window smaller there, and its tables of relative positions no longer fit.
  if (small >= 0)
    problems.push(
      `window_size ${window} is larger than the ${gridsOf(config)[small]!.join('x')} patches of stage ${small}, which transformers cannot run either`,
    );
  return problems;
};

/** The config by our names; or undefined; problems are collected. */
export const parseSwin = (given: unknown, problems: string[]): SwinConfig | undefined => {
  const raw = collect(schema, given, problems);
  const shared = parseShared(given, problems);
  if (!raw || !shared) return undefined;
  const [height, width] = pairOf(raw.image_size);
  const config: SwinConfig = {
    modelType: 'swin',
    vocabSize: 1,
    hiddenSize: raw.embed_dim * 2 ** (raw.depths.length - 1),
    embedSize: raw.embed_dim,
    depths: raw.depths,
    heads: raw.num_heads,
    layers: raw.depths.reduce((a, b) => a + b),
    window: raw.window_size,
    mlpRatio: raw.mlp_ratio,
    normEps: raw.layer_norm_eps,
    activation: activationOf[raw.hidden_act],
    qkvBias: raw.qkv_bias,
    positions: raw.use_absolute_embeddings,
    picture: [raw.num_channels, height, width],
    patch: pairOf(raw.patch_size),
    maxPositions: 1,
    tieWordEmbeddings: false,
    ...shared,
  };
  problems.push(...problemsOf(config));
  const [[lines, columns]] = gridsOf(config) as [readonly [number, number]];
  return { ...config, maxPositions: lines * columns };
};
