import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';
import type { BartRecord } from './record.ts';

/**
 * A BART encoder-decoder: learned positions, LayerNorm, attention with biases. Source: Lewis and others, 2019; transformers, `BartConfig`.
 */
export interface BartConfig extends ModelConfig {
  /** Blocks of the encoder; `layers` are those of the decoder. */
  readonly encoderLayers: number;
  /** Widths of the MLPs. */
  readonly encoderInner: number;
  readonly decoderInner: number;
  readonly encoderHeads: number;
  readonly decoderHeads: number;
  readonly activation: Activation;
  /** Whether embedded tokens are multiplied by √hiddenSize. */
  readonly scaledEmbedding: boolean;
}

const count = z.int().min(1);

const schema = z.object({
  vocab_size: count.default(50265),
  max_position_embeddings: count.default(1024),
  d_model: count.default(1024),
  encoder_layers: count.default(12),
  encoder_ffn_dim: count.default(4096),
  encoder_attention_heads: count.default(16),
  decoder_layers: count.default(12),
  decoder_ffn_dim: count.default(4096),
  decoder_attention_heads: count.default(16),
  activation_function: activationSchema.default('gelu'),
  scale_embedding: z.boolean().default(false),
  // Untied, each tower has a table of tokens of its own.
  tie_word_embeddings: z.literal(true).default(true),
  decoder_start_token_id: z.int().min(0).nullish(),
  is_encoder_decoder: z.literal(true).default(true),
  // Of the first checkpoints, which transformers reads no more.
  normalize_before: z.boolean().optional(),
  normalize_embedding: z.literal(true).optional(),
  add_final_layer_norm: z.boolean().optional(),
  static_position_embeddings: z.literal(false).optional(),
});

/** The config by our names with the defaults of its class of configs; or undefined; problems are collected. */
export const parseBart = (record: BartRecord, given: unknown, problems: string[]): BartConfig | undefined => {
  const special = { pad_token_id: 1, bos_token_id: 0, eos_token_id: 2, decoder_start_token_id: record.startId };
  const json: Readonly<Record<string, unknown>> = { ...special, ...(given as object) };
  const raw = collect(schema, json, problems);
  const shared = parseShared(json, problems);
  if (!raw || !shared) return undefined;
  for (const side of ['encoder', 'decoder'] as const)
    if (raw.d_model % raw[`${side}_attention_heads`] !== 0)
      problems.push(
        `d_model ${raw.d_model} is not a multiple of ${side}_attention_heads ${raw[`${side}_attention_heads`]}`,
      );
  for (const field of ['normalize_before', 'add_final_layer_norm'] as const)
    if ((raw[field] ?? record.normFirst) !== record.normFirst)
      problems.push(`${field}: ${raw[field]} is not supported; ${record.normFirst} is`);
  checkTokenIds(shared, raw.vocab_size, problems);
  const startId = raw.decoder_start_token_id ?? null;
  if (startId !== null && startId >= raw.vocab_size)
    problems.push(`decoder_start_token_id ${startId} is not within vocab_size ${raw.vocab_size}`);
  return {
    modelType: record.modelType,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.d_model,
    layers: raw.decoder_layers,
    encoderLayers: raw.encoder_layers,
    encoderInner: raw.encoder_ffn_dim,
    decoderInner: raw.decoder_ffn_dim,
    encoderHeads: raw.encoder_attention_heads,
    decoderHeads: raw.decoder_attention_heads,
    activation: activationOf[raw.activation_function],
    scaledEmbedding: raw.scale_embedding,
    maxPositions: raw.max_position_embeddings,
    tieWordEmbeddings: raw.tie_word_embeddings,
    decoderStartId: startId,
    ...shared,
  };
};
