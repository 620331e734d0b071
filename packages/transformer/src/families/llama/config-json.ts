import type { LlamaConfig } from './config.ts';

/** The `config.json` of a Llama-type model, as Hugging Face's transformers reads it. */
export const llamaConfigJson = (c: LlamaConfig): Readonly<Record<string, unknown>> => ({
  model_type: 'llama',
  vocab_size: c.vocabSize,
  hidden_size: c.hiddenSize,
  intermediate_size: c.intermediateSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  num_key_value_heads: c.keyValueHeads,
  head_dim: c.headDim,
  max_position_embeddings: c.maxPositions,
  rms_norm_eps: c.normEps,
  tie_word_embeddings: c.tieWordEmbeddings,
  attention_bias: c.attentionBias,
  mlp_bias: c.mlpBias,
  hidden_act: c.activation,
  rope_theta: c.ropeTheta,
  rope_scaling: c.ropeScaling && {
    rope_type: c.ropeScaling.kind,
    factor: c.ropeScaling.factor,
    low_freq_factor: c.ropeScaling.lowFrequencyFactor,
    high_freq_factor: c.ropeScaling.highFrequencyFactor,
    original_max_position_embeddings: c.ropeScaling.originalMaxPositions,
  },
  bos_token_id: c.bosId,
  eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
  pad_token_id: c.padId,
});
