import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';

/**
 * Phi-3 and Phi-4: a Llama with one layer for queries, keys and values, one for the MLP's gate and what it gates, and windows where asked for; the small
 * Phi-4 rotates a part of each head. PEFT adapts the joined layers as they are, and has no default targets.
 * Abdin et al., 2024. https://arxiv.org/abs/2404.14219
 */
export const phi3: Family<DecoderConfig> = decoder({
  modelType: 'phi3',
  stem: 'Phi3',
  tags: 'score',
  defaults: {
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    bos_token_id: 1,
    eos_token_id: 32_000,
    pad_token_id: 32_000,
    partial_rotary_factor: 1,
  },
  fields: { slidingWindow: null, originalMaxPositionEmbeddings: 4096 },
  names: { queryKeyValue: 'qkv_proj', attnOrder: ['attnOut', 'queryKeyValue'], gateUp: 'gate_up_proj' },
  traits: ({ fields }) => ({
    biases: { qkv: false, out: false, mlp: false },
    window: () => fields?.slidingWindow ?? null,
  }),
  targets: {},
});
