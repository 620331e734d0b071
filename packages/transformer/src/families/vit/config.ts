import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { rowsOf, type VitRecord } from './record.ts';

/**
 * A transformer over the patches of a picture. Its `vocabSize` is 1, as it has no tokens; `maxPositions` are the rows of a picture. Source:
 * Dosovitskiy and others, 2020; transformers, `ViTConfig` and those like it.
 */
export interface VitConfig extends ModelConfig {
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  readonly normEps: number;
  readonly activation: Activation;
  /** Whether queries, keys and values have biases. */
  readonly qkvBias: boolean;
  /** Channels, height and width of a picture, in pixels. */
  readonly picture: readonly [channels: number, height: number, width: number];
  /** Height and width of a patch, in pixels. */
  readonly patch: readonly [height: number, width: number];
  /** In which BEiT differs; absent in all others. */
  readonly beit?: BeitParts;
}

/** In which BEiT differs from a ViT, beside keys without biases. transformers, `BeitConfig`. */
export interface BeitParts {
  /** Whether there is a table of positions. */
  readonly positions: boolean;
  /** Whose the tables of relative positions are, which are added to scores: of each block, or one of all; null for none. */
  readonly relative: 'blocks' | 'all' | null;
  /** First value of the learned factors of what attention and the MLP give; 0 for none. */
  readonly scale: number;
  /** Whether the classifier reads the normalised mean of the patches, and there is no norm behind the blocks; else the class's row. */
  readonly meanPooling: boolean;
}

const count = z.int().min(1);
const size = z.union([count, z.tuple([count, count])]);

const schema = z.object({
  hidden_size: count.default(768),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  intermediate_size: count.default(3072),
  mlp_ratio: z.number().positive().optional(),
  hidden_act: activationSchema.default('gelu'),
  layer_norm_eps: z.number().positive().default(1e-12),
  image_size: size.default(224),
  patch_size: size.default(16),
  num_channels: count.default(3),
  qkv_bias: z.boolean().default(true),
  use_swiglu_ffn: z.literal(false).optional(),
});

const beitSchema = z.object({
  use_absolute_position_embeddings: z.boolean().default(false),
  use_relative_position_bias: z.boolean().default(false),
  use_shared_relative_position_bias: z.boolean().default(false),
  layer_scale_init_value: z.number().min(0).default(0.1),
  use_mean_pooling: z.boolean().default(true),
});

/** BEiT's own fields; or undefined; problems are collected. */
const parseBeit = (given: unknown, problems: string[]): BeitParts | undefined => {
  const raw = collect(beitSchema, given, problems);
  if (!raw) return undefined;
  const { use_relative_position_bias: ofBlocks, use_shared_relative_position_bias: ofAll } = raw;
  if (ofBlocks && ofAll)
    problems.push(
      'use_relative_position_bias and use_shared_relative_position_bias both true is not supported; one of them is',
    );
  return {
    positions: raw.use_absolute_position_embeddings,
    relative: ofBlocks ? 'blocks' : ofAll ? 'all' : null,
    scale: raw.layer_scale_init_value,
    meanPooling: raw.use_mean_pooling,
  };
};

const pairOf = (given: number | readonly [number, number]): readonly [number, number] =>
  typeof given === 'number' ? [given, given] : given;

/** The config of a record's `model_type` by our names with the defaults of its class of configs; or undefined; problems are collected. */
export const parseVit = (record: VitRecord, given: unknown, problems: string[]): VitConfig | undefined => {
  const raw = collect(schema, { ...record.defaults, ...(given as object) }, problems);
  const shared = parseShared(given, problems);
  if (!raw || !shared) return undefined;
  if (raw.hidden_size % raw.num_attention_heads !== 0)
    problems.push(`hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${raw.num_attention_heads}`);
  const [height, width] = pairOf(raw.image_size);
  const patch = pairOf(raw.patch_size);
  if (height < patch[0] || width < patch[1])
    problems.push(`patch_size ${patch.join('x')} is larger than image_size ${height}x${width}`);
  const beit = record.isBeit ? parseBeit(given, problems) : undefined;
  if (beit?.relative && (height !== width || patch[0] !== patch[1]))
    problems.push(
      `relative positions: image_size ${height}x${width} with patch_size ${patch.join('x')} is not supported; squares are`,
    );
  const config: VitConfig = {
    modelType: record.modelType,
    vocabSize: 1,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.mlp_ratio === undefined ? raw.intermediate_size : Math.floor(raw.hidden_size * raw.mlp_ratio),
    layers: raw.num_hidden_layers,
    heads: raw.num_attention_heads,
    normEps: raw.layer_norm_eps,
    activation: activationOf[raw.hidden_act],
    qkvBias: raw.qkv_bias,
    picture: [raw.num_channels, height, width],
    patch,
    maxPositions: 1,
    tieWordEmbeddings: false,
    ...shared,
    ...(beit && { beit }),
  };
  return { ...config, maxPositions: rowsOf(record, config) };
};
