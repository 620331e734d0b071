import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';

/**
 * Qwen3: a Llama whose queries and keys are normed head by head, and, where asked for, with windows in its upper layers.
 * Qwen Team, 2025. https://arxiv.org/abs/2505.09388
 */
export const qwen3: Family<DecoderConfig> = decoder({
  modelType: 'qwen3',
  stem: 'Qwen3',
  tags: 'score',
  answers: 'transformer',
  defaults: { num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32_768 },
  fields: { useSlidingWindow: false, slidingWindow: 4096, maxWindowLayers: 28, layerTypes: null },
  traits: (config) => ({
    biases: { qkv: config.attentionBias, out: config.attentionBias, mlp: false },
    queryKeyNorms: 'by-head',
    window: layerWindow(config, (layer) => layer >= (config.fields?.maxWindowLayers ?? 0)),
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
