import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';

/** Qwen3: a Llama whose queries and keys are normed head by head. Qwen Team, 2025. https://arxiv.org/abs/2505.09388 */
export const qwen3: Family<DecoderConfig> = decoder({
  modelType: 'qwen3',
  stem: 'Qwen3',
  defaults: { num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32_768 },
  traits: ({ attentionBias }) => ({
    biases: { qkv: attentionBias, out: attentionBias, mlp: false },
    queryKeyNorms: 'by-head',
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
