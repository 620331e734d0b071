import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';

/**
 * Gemma 3, of texts alone: a Gemma 2 whose queries and keys are normed head by head, without caps, with windows in all layers but every sixth, and a
 * rotary embedding of its own in those. A cap of scores that a config names is not applied: transformers, `modeling_gemma3.py`. Gemma Team, 2025. https://arxiv.org/abs/2503.19786
 */
export const gemma3: Family<DecoderConfig> = decoder({
  modelType: 'gemma3_text',
  stem: 'Gemma3',
  classifierStem: 'Gemma3Text',
  defaults: {
    num_key_value_heads: 4,
    head_dim: 256,
    hidden_activation: 'gelu_pytorch_tanh',
    max_position_embeddings: 131_072,
    rope_theta: 1_000_000,
    tie_word_embeddings: true,
    pad_token_id: 0,
    bos_token_id: 2,
    eos_token_id: 1,
  },
  activationField: 'hidden_activation',
  localTheta: 10_000,
  fields: {
    slidingWindow: 4096,
    slidingWindowPattern: 6,
    layerTypes: null,
    queryPreAttnScalar: 256,
    attnLogitSoftcapping: null,
    finalLogitSoftcapping: null,
  },
  traits: (config) => ({
    biases: { qkv: config.attentionBias, out: config.attentionBias, mlp: false },
    norm: 'rms-plus-one',
    norms: {
      attn: { before: 'input_layernorm', after: 'post_attention_layernorm' },
      mlp: { before: 'pre_feedforward_layernorm', after: 'post_feedforward_layernorm' },
    },
    queryKeyNorms: 'by-head',
    window: layerWindow(config, (layer) => (layer + 1) % (config.fields?.slidingWindowPattern ?? 6) !== 0),
    tokenScale: Math.sqrt(config.hiddenSize),
    scoreScale: (config.fields?.queryPreAttnScalar ?? 256) ** -0.5,
    logitCap: config.fields?.finalLogitSoftcapping ?? null,
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
