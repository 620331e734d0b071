import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { gptLayers, normsBefore } from './decoder/record.ts';
import type { Family } from './family.ts';

/**
 * Phi-1, Phi-1.5 and Phi-2: biases everywhere, an MLP without a gate, one LayerNorm for both halves of a block, which read the same rows, and a part
 * of each head rotated; where asked for, norms of queries and keys. Gunasekar et al., 2023. https://arxiv.org/abs/2306.11644
 */
export const phi: Family<DecoderConfig> = decoder({
  modelType: 'phi',
  stem: 'Phi',
  tags: 'score',
  defaults: {
    layer_norm_eps: 1e-5,
    hidden_act: 'gelu_new',
    bos_token_id: 1,
    eos_token_id: 2,
    partial_rotary_factor: 0.5,
  },
  fields: { qkLayernorm: false },
  names: {
    last: 'final_layernorm',
    queryNorm: 'q_layernorm',
    keyNorm: 'k_layernorm',
    attnOut: 'dense',
    up: 'fc1',
    down: 'fc2',
  },
  epsField: 'layer_norm_eps',
  traits: ({ fields }) => ({
    ...gptLayers({ qkv: true, out: true, mlp: true }),
    parallel: true,
    headBias: true,
    queryKeyNorms: fields?.qkLayernorm ? 'by-head' : null,
    norms: normsBefore('input_layernorm'),
  }),
  targets: {
    lora: ['q_proj', 'v_proj', 'fc1', 'fc2'],
    ia3: ['q_proj', 'v_proj', 'fc2'],
    ia3Feedforward: ['fc2'],
    beft: ['v_proj'],
  },
});
