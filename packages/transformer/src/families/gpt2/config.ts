import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';

/**
 * A GPT-2 decoder: LayerNorm before each half, learned positions, one weight `c_attn` for queries, keys and values;
 * its linear weights are stored [in, out].
 * Source: Radford and others, 2019; transformers, `GPT2Config`.
 */
export interface Gpt2Config extends ModelConfig {
  readonly modelType: 'gpt2';
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  readonly headDim: number;
  readonly normEps: number;
  readonly activation: Activation;
  /** Whether scores of attention are divided by √headDim. Default true. */
  readonly scaleAttnWeights?: boolean;
  /** Whether those of layer i, from 0 on, are divided by i + 1 too. Default false. */
  readonly scaleAttnByInverseLayerIdx?: boolean;
}

const count = z.int().min(1);

const schema = z.object({
  vocab_size: count,
  n_embd: count,
  n_layer: count,
  n_head: count,
  n_positions: count.default(1024),
  n_inner: count.nullish(),
  layer_norm_epsilon: z.number().positive().default(1e-5),
  activation_function: activationSchema.default('gelu_new'),
  tie_word_embeddings: z.boolean().default(true),
  scale_attn_weights: z.boolean().default(true),
  scale_attn_by_inverse_layer_idx: z.boolean().default(false),
  add_cross_attention: z.literal(false).default(false),
});

/** The config by our names with the defaults of `GPT2Config`; or undefined; problems are collected. */
export const parseGpt2 = (json: unknown, problems: string[]): Gpt2Config | undefined => {
  const raw = collect(schema, json, problems);
  const shared = parseShared(json, problems);
  if (!raw || !shared) return undefined;
  const headDim = raw.n_embd / raw.n_head;
  if (!Number.isInteger(headDim)) problems.push(`n_embd ${raw.n_embd} is not a multiple of n_head ${raw.n_head}`);
  checkTokenIds(shared, raw.vocab_size, problems);
  return {
    modelType: 'gpt2',
    vocabSize: raw.vocab_size,
    hiddenSize: raw.n_embd,
    intermediateSize: raw.n_inner ?? 4 * raw.n_embd,
    layers: raw.n_layer,
    heads: raw.n_head,
    headDim,
    maxPositions: raw.n_positions,
    normEps: raw.layer_norm_epsilon,
    tieWordEmbeddings: raw.tie_word_embeddings,
    activation: activationOf[raw.activation_function],
    ...(!raw.scale_attn_weights && { scaleAttnWeights: false }),
    ...(raw.scale_attn_by_inverse_layer_idx && { scaleAttnByInverseLayerIdx: true }),
    ...shared,
  };
};
