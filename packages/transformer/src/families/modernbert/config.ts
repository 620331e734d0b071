import { shown } from '@peftjs/tensor';
import * as z from 'zod';
import type { Activation } from '../../activation.ts';
import { activationOf, activationSchema } from '../../config/activation.ts';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseTwoRopes, type Rope } from '../../config/rope.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';

/** Whether a layer sees all rows, or those near a row. */
export type LayerReach = 'full_attention' | 'sliding_attention';

/**
 * A ModernBERT encoder: rotary positions, norms before each part, a gated MLP, and layers that see only near rows.
 * Source: Warner and others, 2024; transformers, `ModernBertConfig`.
 */
export interface ModernBertConfig extends ModelConfig, Rope {
  readonly modelType: 'modernbert';
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  readonly headDim: number;
  readonly normEps: number;
  readonly normBias: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  /** Whether the head over the vocabulary has a bias. */
  readonly decoderBias: boolean;
  /** Whether the layer before every head has a bias. */
  readonly classifierBias: boolean;
  readonly classifierActivation: Activation;
  /** The state that a classifier of texts reads: the first, or the mean of those that are not padding. */
  readonly classifierPooling: 'cls' | 'mean';
  readonly activation: Activation;
  readonly layerTypes: readonly LayerReach[];
  /** Width of the window of layers that see near rows: half of it to either side. */
  readonly localAttention: number;
  /** The rotary embedding of those layers. */
  readonly localRope: Rope;
}

const count = z.int().min(1);
const off = z.boolean().default(false);

const schema = z.object({
  vocab_size: count.default(50368),
  hidden_size: count.default(768),
  intermediate_size: count.default(1152),
  num_hidden_layers: count.default(22),
  num_attention_heads: count.default(12),
  hidden_activation: activationSchema.default('gelu'),
  max_position_embeddings: count.default(8192),
  norm_eps: z.number().positive().default(1e-5),
  norm_bias: off,
  attention_bias: off,
  mlp_bias: off,
  decoder_bias: z.boolean().default(true),
  classifier_bias: off,
  classifier_activation: activationSchema.default('gelu'),
  classifier_pooling: z.literal(['cls', 'mean']).default('cls'),
  layer_types: z.array(z.literal(['full_attention', 'sliding_attention'])).nullish(),
  global_attn_every_n_layers: count.default(3),
  local_attention: z.int().min(2).default(128),
  tie_word_embeddings: z.boolean().default(true),
});

const special = { pad_token_id: 50283, eos_token_id: 50282, bos_token_id: 50281 };

/** The config by our names with the defaults of `ModernBertConfig`; or undefined; problems are collected. */
export const parseModernBert = (given: unknown, problems: string[]): ModernBertConfig | undefined => {
  const json: Readonly<Record<string, unknown>> = { ...special, ...(given as object) };
  const raw = collect(schema, json, problems);
  const shared = parseShared(json, problems);
  const { global_rope_theta, local_rope_theta, ...rest } = json;
  const thetas = { rope_theta: global_rope_theta, rope_local_base_freq: local_rope_theta };
  const rope = parseTwoRopes({ max_position_embeddings: 8192, ...rest, ...thetas }, [160_000, 10_000], problems);
  // transformers stretches both embeddings by it.
  if (rope?.ropeScaling && json['rope_scaling'] != null)
    problems.push(
      `rope_scaling: ${shown(json['rope_scaling'])} is not supported; rope_parameters by kind of layer are`,
    );
  if (!raw || !shared || !rope) return undefined;
  const headDim = raw.hidden_size / raw.num_attention_heads;
  if (!Number.isInteger(headDim))
    problems.push(`hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${raw.num_attention_heads}`);
  else if (headDim % 2 !== 0) problems.push(`head_dim ${headDim} is odd; rotary positions turn pairs`);
  const layers = raw.num_hidden_layers;
  if (raw.layer_types && raw.layer_types.length !== layers)
    problems.push(`layer_types has ${raw.layer_types.length} entries for ${layers} layers`);
  checkTokenIds(shared, raw.vocab_size, problems);
  return {
    modelType: 'modernbert',
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers,
    heads: raw.num_attention_heads,
    headDim,
    maxPositions: raw.max_position_embeddings,
    normEps: raw.norm_eps,
    normBias: raw.norm_bias,
    attentionBias: raw.attention_bias,
    mlpBias: raw.mlp_bias,
    decoderBias: raw.decoder_bias,
    classifierBias: raw.classifier_bias,
    classifierActivation: activationOf[raw.classifier_activation],
    classifierPooling: raw.classifier_pooling,
    activation: activationOf[raw.hidden_activation],
    layerTypes:
      raw.layer_types ??
      Array.from({ length: Math.min(layers, 10_000) }, (_, i) =>
        i % raw.global_attn_every_n_layers === 0 ? 'full_attention' : 'sliding_attention',
      ),
    localAttention: raw.local_attention,
    tieWordEmbeddings: raw.tie_word_embeddings,
    ...rope,
    ...shared,
  };
};
