import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';

/**
 * Gemma (1): a Llama whose norms scale by 1 + weight, whose tokens are scaled by √hiddenSize, and whose gate is a GELU by tanh, which its first
 * configs called `gelu`. Gemma Team, 2024. https://arxiv.org/abs/2403.08295
 */
export const gemma: Family<DecoderConfig> = decoder({
  modelType: 'gemma',
  stem: 'Gemma',
  tags: 'score',
  defaults: {
    num_key_value_heads: 16,
    head_dim: 256,
    hidden_act: 'gelu_pytorch_tanh',
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
    pad_token_id: 0,
    bos_token_id: 2,
    eos_token_id: 1,
  },
  readAs: { hidden_act: { gelu: 'gelu_pytorch_tanh' } },
  traits: ({ attentionBias, hiddenSize }) => ({
    biases: { qkv: attentionBias, out: attentionBias, mlp: false },
    norm: 'rms-plus-one',
    tokenScale: Math.sqrt(hiddenSize),
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
