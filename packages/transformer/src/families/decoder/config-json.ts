import { activationNames } from '../../activation.ts';
import { scalingJson } from '../../config/rope-scaling.ts';
import type { DecoderConfig } from './config.ts';
import { jsonName } from './field-names.ts';
import type { DecoderRecord } from './record.ts';

/** The `config.json` of a gated decoder, as Hugging Face's transformers reads it. */
export const decoderConfigJson = (
  c: DecoderConfig,
  {
    activationField = 'hidden_act',
    epsField = 'rms_norm_eps',
    rotaryField = 'partial_rotary_factor',
    defaults,
    thetaField = 'rope_theta',
  }: DecoderRecord,
): Readonly<Record<string, unknown>> => ({
  model_type: c.modelType,
  vocab_size: c.vocabSize,
  hidden_size: c.hiddenSize,
  intermediate_size: c.intermediateSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  num_key_value_heads: c.keyValueHeads,
  head_dim: c.headDim,
  max_position_embeddings: c.maxPositions,
  [epsField]: c.normEps,
  tie_word_embeddings: c.tieWordEmbeddings,
  attention_bias: c.attentionBias,
  mlp_bias: c.mlpBias,
  // Gemma's class warns of any other name for the approximation by tanh.
  [activationField]:
    c.activation === 'gelu-tanh' && defaults?.[activationField] !== 'gelu_new'
      ? 'gelu_pytorch_tanh'
      : activationNames[c.activation],
  [thetaField]: c.ropeTheta,
  rope_scaling: c.ropeScaling && scalingJson(c.ropeScaling),
  ...(c.rotaryShare !== undefined && { [rotaryField]: c.rotaryShare }),
  ...(c.localRope && { rope_local_base_freq: c.localRope.ropeTheta }),
  bos_token_id: c.bosId,
  eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
  pad_token_id: c.padId,
  ...Object.fromEntries(Object.entries(c.fields ?? {}).map(([name, value]) => [jsonName(name), value])),
});
