import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';

/** Qwen2 and Qwen2.5: a Llama with biases at queries, keys and values. Qwen Team, 2024. https://arxiv.org/abs/2407.10671 */
export const qwen2: Family<DecoderConfig> = decoder({
  modelType: 'qwen2',
  stem: 'Qwen2',
  defaults: { num_key_value_heads: 32, max_position_embeddings: 32_768 },
  traits: () => ({ biases: { qkv: true, out: false, mlp: false } }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
