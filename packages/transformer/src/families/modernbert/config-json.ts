import { activationNames } from '../../activation.ts';
import type { Rope } from '../../config/rope.ts';
import { scalingJson } from '../../config/rope-scaling.ts';
import type { ModernBertConfig } from './config.ts';

const ropeJson = ({ ropeTheta, ropeScaling }: Rope): Readonly<Record<string, unknown>> => ({
  ...(ropeScaling ? scalingJson(ropeScaling) : { rope_type: 'default' }),
  rope_theta: ropeTheta,
});

/** The `config.json` of a ModernBERT, as Hugging Face's transformers reads it. */
export const modernBertConfigJson = (c: ModernBertConfig): Readonly<Record<string, unknown>> => ({
  model_type: 'modernbert',
  vocab_size: c.vocabSize,
  hidden_size: c.hiddenSize,
  intermediate_size: c.intermediateSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  hidden_activation: activationNames[c.activation],
  max_position_embeddings: c.maxPositions,
  norm_eps: c.normEps,
  norm_bias: c.normBias,
  attention_bias: c.attentionBias,
  mlp_bias: c.mlpBias,
  decoder_bias: c.decoderBias,
  classifier_bias: c.classifierBias,
  classifier_activation: activationNames[c.classifierActivation],
  classifier_pooling: c.classifierPooling,
  layer_types: c.layerTypes,
  local_attention: c.localAttention,
  rope_parameters: { full_attention: ropeJson(c), sliding_attention: ropeJson(c.localRope) },
  tie_word_embeddings: c.tieWordEmbeddings,
  bos_token_id: c.bosId,
  eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
  pad_token_id: c.padId,
});
