import { activationNames } from '../../activation.ts';
import type { Gpt2Config } from './config.ts';

/** The `config.json` of a GPT-2, as Hugging Face's transformers reads it. */
export const gpt2ConfigJson = (c: Gpt2Config): Readonly<Record<string, unknown>> => ({
  model_type: 'gpt2',
  vocab_size: c.vocabSize,
  n_embd: c.hiddenSize,
  n_inner: c.intermediateSize,
  n_layer: c.layers,
  n_head: c.heads,
  n_positions: c.maxPositions,
  layer_norm_epsilon: c.normEps,
  tie_word_embeddings: c.tieWordEmbeddings,
  activation_function: activationNames[c.activation],
  scale_attn_weights: c.scaleAttnWeights ?? true,
  scale_attn_by_inverse_layer_idx: c.scaleAttnByInverseLayerIdx ?? false,
  bos_token_id: c.bosId,
  eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
  pad_token_id: c.padId,
});
