import { shown } from '@peftjs/tensor';
import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';
import type { Stack } from './paths.ts';
import type { T5Record } from './record.ts';

/**
 * A T5: an encoder and a decoder, RMSNorm before each part, relative positions. Version 1.1, FLAN and mT5 have a gated MLP, and a head of their own.
 * Source: Raffel and others, 2019; transformers, `T5Config`.
 */
export interface T5Config extends ModelConfig {
  readonly modelType: T5Record['modelType'];
  /** Blocks of the encoder; `layers` are those of the decoder. */
  readonly encoderLayers: number;
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  readonly headDim: number;
  /** Rows of the table of relative positions: distances that share a row lie in one bucket. */
  readonly buckets: number;
  /** Distances from here on share the last bucket. */
  readonly maxDistance: number;
  readonly normEps: number;
  readonly activation: Activation;
  /** Whether the MLP is wo(act(wi_0(x)) · wi_1(x)), not wo(act(wi(x))). */
  readonly gated: boolean;
  /** Whether the head reads states divided by √hiddenSize: version 1.0. */
  readonly scaledHead: boolean;
  readonly decoderStartId: number | null;
  /** The stacks that a head's class has, and the module that they stand in, by its path and a point: what the head says. Default both, in none. */
  readonly stands?: { readonly within: string; readonly stacks: readonly Stack[] };
}

const count = z.int().min(1);

const schema = z.object({
  vocab_size: count.default(32128),
  d_model: count.default(512),
  d_kv: count.default(64),
  d_ff: count.default(2048),
  num_layers: count.default(6),
  num_decoder_layers: count.nullish(),
  num_heads: count.default(8),
  relative_attention_num_buckets: z.int().min(4).default(32),
  relative_attention_max_distance: z.int().min(2).default(128),
  layer_norm_epsilon: z.number().positive().default(1e-6),
  feed_forward_proj: z.string().default('relu'),
  tie_word_embeddings: z.boolean().default(true),
  scale_decoder_outputs: z.boolean().nullish(),
  decoder_start_token_id: z.int().min(0).nullish(),
  pad_token_id: z.int().nullable().default(0),
  eos_token_id: z
    .union([z.int().min(0), z.array(z.int().min(0))])
    .nullable()
    .default(1),
  // Files of an encoder alone deny it.
  is_encoder_decoder: z.boolean().default(true),
});

/** `relu`, `gated-gelu`, …; of gated ones transformers takes `gelu` for its approximation by tanh. */
const feedForwardOf = (name: string, problems: string[]): Pick<T5Config, 'activation' | 'gated'> => {
  const gated = name.startsWith('gated-');
  const plain = gated ? name.slice('gated-'.length) : name;
  const activation = name === 'gated-gelu' ? 'gelu-tanh' : (activationOf as Record<string, Activation>)[plain];
  if (activation === undefined || !Object.hasOwn(activationOf, plain))
    problems.push(
      `feed_forward_proj: ${shown(name)} is not supported; ${Object.keys(activationOf).join(', ')} are, perhaps after gated-`,
    );
  return { activation: activation ?? 'relu', gated };
};

/** The config by our names with the defaults of its class of configs; or undefined; problems are collected. */
export const parseT5 = (record: T5Record, given: unknown, problems: string[]): T5Config | undefined => {
  const json = { ...record.defaults, ...(given as object) };
  const raw = collect(schema, json, problems);
  const ids = raw && { pad_token_id: raw.pad_token_id, eos_token_id: raw.eos_token_id };
  const shared = raw && parseShared({ ...json, ...ids }, problems);
  if (!raw || !shared) return undefined;
  checkTokenIds(shared, raw.vocab_size, problems);
  const startId = raw.decoder_start_token_id ?? null;
  if (startId !== null && startId >= raw.vocab_size)
    problems.push(`decoder_start_token_id ${startId} is not within vocab_size ${raw.vocab_size}`);
  if (raw.relative_attention_max_distance <= raw.relative_attention_num_buckets / 2)
    problems.push(
      `relative_attention_max_distance: ${raw.relative_attention_max_distance} is not supported; more than half of the buckets is`,
    );
  return {
    modelType: record.modelType,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.d_model,
    intermediateSize: raw.d_ff,
    encoderLayers: raw.num_layers,
    layers: raw.num_decoder_layers ?? raw.num_layers,
    heads: raw.num_heads,
    headDim: raw.d_kv,
    maxPositions: Number.POSITIVE_INFINITY,
    buckets: raw.relative_attention_num_buckets,
    maxDistance: raw.relative_attention_max_distance,
    normEps: raw.layer_norm_epsilon,
    tieWordEmbeddings: raw.tie_word_embeddings,
    // Of mT5 transformers scales none, though it says of each that its head is tied.
    scaledHead: record.scaledHead !== 'never' && (raw.scale_decoder_outputs ?? raw.tie_word_embeddings),
    decoderStartId: startId,
    ...feedForwardOf(raw.feed_forward_proj, problems),
    ...shared,
  };
};
