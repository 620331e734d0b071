import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { normsBefore } from './decoder/record.ts';
import type { Family } from './family.ts';

/**
 * StableLM: a Llama with LayerNorm that rotates a part of each head; where asked for, both halves of a block read the same rows, and queries and keys
 * are normed, each head by a norm of its own.
 * Bellagente et al., 2024. https://arxiv.org/abs/2402.17834
 */
export const stablelm: Family<DecoderConfig> = decoder({
  modelType: 'stablelm',
  stem: 'StableLm',
  tags: 'score',
  defaults: {
    num_key_value_heads: 32,
    max_position_embeddings: 4096,
    layer_norm_eps: 1e-5,
    bos_token_id: 0,
    eos_token_id: 0,
    partial_rotary_factor: 0.25,
  },
  fields: { useQkvBias: false, qkLayernorm: false, useParallelResidual: false },
  names: { queryNorm: 'q_layernorm', keyNorm: 'k_layernorm' },
  headNorms: 'norms',
  epsField: 'layer_norm_eps',
  traits: ({ fields }) => {
    const parallel = fields?.useParallelResidual ?? false;
    return {
      biases: { qkv: fields?.useQkvBias ?? false, out: false, mlp: false },
      norm: 'layer',
      normBias: true,
      parallel,
      queryKeyNorms: fields?.qkLayernorm ? 'each-head' : null,
      norms: normsBefore('input_layernorm', parallel ? undefined : 'post_attention_layernorm'),
    };
  },
  targets: { lora: ['q_proj', 'v_proj'] },
});
