import * as z from 'zod';
import { collect } from '../../config/collect.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import { parseRope, type Rope } from '../../config/rope.ts';
import { parseShared } from '../../config/shared.ts';
import { checkTokenIds } from '../../config/token-ids.ts';

/**
 * A Llama-type decoder: RMSNorm before each half, rotary positions, grouped key/value heads, gated SiLU MLP.
 * Source: Touvron and others, 2023, https://arxiv.org/abs/2302.13971; transformers, `LlamaConfig`.
 */
export interface LlamaConfig extends ModelConfig, Rope {
  readonly modelType: 'llama';
  /** Width of the MLP. */
  readonly intermediateSize: number;
  readonly heads: number;
  /** Heads of keys and values; `heads` is a multiple. */
  readonly keyValueHeads: number;
  /** Even; `heads * headDim` need not be `hiddenSize`. */
  readonly headDim: number;
  readonly normEps: number;
  /** Whether the four projections of attention have a bias. */
  readonly attentionBias: boolean;
  /** Whether the three projections of the MLP have a bias. */
  readonly mlpBias: boolean;
  readonly activation: 'silu';
}

const count = z.int().min(1);

const schema = z.object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  max_position_embeddings: count.default(2048),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  hidden_act: z.enum(['silu', 'swish']).default('silu'),
});

/** The config by our names with the defaults of `LlamaConfig`; or undefined; problems are collected. */
export const parseLlama = (json: unknown, problems: string[]): LlamaConfig | undefined => {
  const raw = collect(schema, json, problems);
  const rope = parseRope(json, 10_000, problems);
  const shared = parseShared(json, problems);
  if (!raw || !rope || !shared) return undefined;
  const heads = raw.num_attention_heads;
  const keyValueHeads = raw.num_key_value_heads ?? heads;
  const headDim = raw.head_dim ?? raw.hidden_size / heads;
  if (!Number.isInteger(headDim))
    problems.push(`hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${heads}`);
  else if (headDim % 2 !== 0) problems.push(`head_dim ${headDim} is odd; rotary positions turn pairs`);
  if (heads % keyValueHeads !== 0)
    problems.push(`num_attention_heads ${heads} is not a multiple of num_key_value_heads ${keyValueHeads}`);
  checkTokenIds(shared, raw.vocab_size, problems);
  return {
    modelType: 'llama',
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    layers: raw.num_hidden_layers,
    heads,
    keyValueHeads,
    headDim,
    maxPositions: raw.max_position_embeddings,
    normEps: raw.rms_norm_eps,
    tieWordEmbeddings: raw.tie_word_embeddings,
    attentionBias: raw.attention_bias,
    mlpBias: raw.mlp_bias,
    activation: 'silu',
    ...rope,
    ...shared,
  };
};
