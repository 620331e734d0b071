import { activationNames } from '../../activation.ts';
import type { T5Config } from './config.ts';

const feedForwardName = ({ gated, activation }: T5Config): string => {
  if (!gated) return activationNames[activation];
  return activation === 'gelu-tanh' ? 'gated-gelu' : `gated-${activationNames[activation]}`;
};

/** The `config.json` of a T5, as Hugging Face's transformers reads it: it takes a head as scaled where it is said to be tied. */
export const t5ConfigJson = (c: T5Config): Readonly<Record<string, unknown>> => ({
  model_type: c.modelType,
  is_encoder_decoder: true,
  vocab_size: c.vocabSize,
  d_model: c.hiddenSize,
  d_kv: c.headDim,
  d_ff: c.intermediateSize,
  num_layers: c.encoderLayers,
  num_decoder_layers: c.layers,
  num_heads: c.heads,
  relative_attention_num_buckets: c.buckets,
  relative_attention_max_distance: c.maxDistance,
  layer_norm_epsilon: c.normEps,
  feed_forward_proj: feedForwardName(c),
  tie_word_embeddings: c.tieWordEmbeddings,
  ...(c.modelType === 't5' && { scale_decoder_outputs: c.scaledHead }),
  decoder_start_token_id: c.decoderStartId,
  bos_token_id: c.bosId,
  eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
  pad_token_id: c.padId,
});
