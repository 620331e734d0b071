import { activationNames } from '../../activation.ts';
import type { BartConfig } from './config.ts';

/** The `config.json` of a BART, as Hugging Face's transformers reads it. */
export const bartConfigJson = (c: BartConfig): Readonly<Record<string, unknown>> => ({
  model_type: c.modelType,
  is_encoder_decoder: true,
  vocab_size: c.vocabSize,
  max_position_embeddings: c.maxPositions,
  d_model: c.hiddenSize,
  encoder_layers: c.encoderLayers,
  encoder_ffn_dim: c.encoderInner,
  encoder_attention_heads: c.encoderHeads,
  decoder_layers: c.layers,
  decoder_ffn_dim: c.decoderInner,
  decoder_attention_heads: c.decoderHeads,
  activation_function: activationNames[c.activation],
  scale_embedding: c.scaledEmbedding,
  tie_word_embeddings: c.tieWordEmbeddings,
  decoder_start_token_id: c.decoderStartId ?? null,
  bos_token_id: c.bosId,
  eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
  pad_token_id: c.padId,
});
