import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';

/**
 * Gemma 2: a Gemma with norms before and after each half of a block, a window in every other layer, caps of scores and logits, and a scale of
 * scores of its own. Gemma Team, 2024. https://arxiv.org/abs/2408.00118
 */
export const gemma2: Family<DecoderConfig> = decoder({
  modelType: 'gemma2',
  stem: 'Gemma2',
  tags: 'score',
  defaults: {
    num_key_value_heads: 4,
    head_dim: 256,
    hidden_activation: 'gelu_pytorch_tanh',
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
    pad_token_id: 0,
    bos_token_id: 2,
    eos_token_id: 1,
  },
  activationField: 'hidden_activation',
  fields: {
    slidingWindow: 4096,
    layerTypes: null,
    queryPreAttnScalar: 256,
    attnLogitSoftcapping: 50,
    finalLogitSoftcapping: 30,
  },
  traits: (config) => ({
    biases: { qkv: config.attentionBias, out: config.attentionBias, mlp: false },
    norm: 'rms-plus-one',
    norms: {
      attn: { before: 'input_layernorm', after: 'post_attention_layernorm' },
      mlp: { before: 'pre_feedforward_layernorm', after: 'post_feedforward_layernorm' },
    },
    window: layerWindow(config, (layer) => layer % 2 === 0),
    tokenScale: Math.sqrt(config.hiddenSize),
    scoreScale: (config.fields?.queryPreAttnScalar ?? 256) ** -0.5,
    scoreCap: config.fields?.attnLogitSoftcapping ?? null,
    logitCap: config.fields?.finalLogitSoftcapping ?? null,
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
