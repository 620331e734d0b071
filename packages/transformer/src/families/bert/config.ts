import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';

/**
 * A BERT encoder: every token sees all; learned positions and token types; LayerNorm after each residual sum.
 * Source: Devlin and others, 2018; transformers, `BertConfig`.
 */
export interface BertConfig extends ModelConfig {
  readonly modelType: 'bert';
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  readonly headDim: number;
  /** How many kinds of tokens there are: those of a first text, of a second, … */
  readonly tokenTypes: number;
  readonly normEps: number;
  readonly activation: Activation;
}

const count = z.int().min(1);

const schema = z.object({
  vocab_size: count.default(30522),
  hidden_size: count.default(768),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  intermediate_size: count.default(3072),
  hidden_act: activationSchema.default('gelu'),
  max_position_embeddings: count.default(512),
  type_vocab_size: count.default(2),
  layer_norm_eps: z.number().positive().default(1e-12),
  tie_word_embeddings: z.boolean().default(true),
  pad_token_id: z.int().nullable().default(0),
  position_embedding_type: z.literal('absolute').default('absolute'),
  is_decoder: z.literal(false).default(false),
  add_cross_attention: z.literal(false).default(false),
});

/** The config by our names with the defaults of `BertConfig`; or undefined; problems are collected. */
export const parseBert = (json: unknown, problems: string[]): BertConfig | undefined => {
  const raw = collect(schema, json, problems);
  const shared = raw && parseShared({ ...(json as object), pad_token_id: raw.pad_token_id }, problems);
  if (!raw || !shared) return undefined;
  const headDim = raw.hidden_size / raw.num_attention_heads;
  if (!Number.isInteger(headDim))
    problems.push(`hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${raw.num_attention_heads}`);
  checkTokenIds(shared, raw.vocab_size, problems);
  return {
    modelType: 'bert',
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads: raw.num_attention_heads,
    headDim,
    maxPositions: raw.max_position_embeddings,
    tokenTypes: raw.type_vocab_size,
    normEps: raw.layer_norm_eps,
    tieWordEmbeddings: raw.tie_word_embeddings,
    activation: activationOf[raw.hidden_act],
    ...shared,
  };
};
