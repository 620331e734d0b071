import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';

/** Mistral: a Llama whose layers all have a window, or none. Jiang et al., 2023. https://arxiv.org/abs/2310.06825 */
export const mistral: Family<DecoderConfig> = decoder({
  modelType: 'mistral',
  stem: 'Mistral',
  tags: 'score',
  answers: 'model',
  defaults: { num_key_value_heads: 8, max_position_embeddings: 131_072, bos_token_id: 1, eos_token_id: 2 },
  fields: { slidingWindow: 4096 },
  traits: ({ fields: { slidingWindow = null } = {} }) => ({
    biases: { qkv: false, out: false, mlp: false },
    window: () => slidingWindow,
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['k_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
