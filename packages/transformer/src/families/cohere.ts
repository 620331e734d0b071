import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { normsBefore, type Traits } from './decoder/record.ts';
import type { Family } from './family.ts';

/** Defaults of the classes of configs of Cohere's models. */
export const cohereDefaults = {
  max_position_embeddings: 8192,
  layer_norm_eps: 1e-5,
  tie_word_embeddings: true,
  pad_token_id: 0,
  bos_token_id: 5,
  eos_token_id: 255_001,
} as const;

/** One LayerNorm without a bias for both halves of a block, neighbours rotated together, a factor of the logits. */
export const besideEachOther = ({ attentionBias, fields }: DecoderConfig): Partial<Traits> => ({
  biases: { qkv: attentionBias, out: attentionBias, mlp: false },
  norm: 'layer',
  parallel: true,
  norms: normsBefore('input_layernorm'),
  rotaryPairs: 'neighbours',
  logitScale: fields?.logitScale ?? 1,
});

/**
 * Cohere's Command R: a Llama whose halves of a block read the same rows, by one LayerNorm without a bias, which rotates neighbours, and whose logits
 * have a factor; in Command R+ also norms of queries and keys, head by head. PEFT has no default targets for it. Cohere, 2024; transformers,
 * `modeling_cohere.py`.
 */
export const cohere: Family<DecoderConfig> = decoder({
  modelType: 'cohere',
  stem: 'Cohere',
  classifies: false,
  defaults: { ...cohereDefaults, rope_theta: 500_000 },
  fields: { logitScale: 0.0625, useQkNorm: false },
  epsField: 'layer_norm_eps',
  traits: (config) => ({ ...besideEachOther(config), queryKeyNorms: config.fields?.useQkNorm ? 'each-head' : null }),
  targets: {},
});
