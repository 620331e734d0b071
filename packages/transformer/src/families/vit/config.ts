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
  };
  return { ...config, maxPositions: rowsOf(record, config) };
};
