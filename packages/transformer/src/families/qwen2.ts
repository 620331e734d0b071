import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';

/**
 * Qwen2 and Qwen2.5: a Llama with biases at queries, keys and values, and, where asked for, windows in its upper layers.
 * Qwen Team, 2024. https://arxiv.org/abs/2407.10671
 */
export const qwen2: Family<DecoderConfig> = decoder({
  modelType: 'qwen2',
  stem: 'Qwen2',
  tags: 'score',
  answers: 'transformer',
  defaults: { num_key_value_heads: 32, max_position_embeddings: 32_768 },
  fields: { useSlidingWindow: false, slidingWindow: 4096, maxWindowLayers: 28, layerTypes: null },
  traits: (config) => ({
    biases: { qkv: true, out: false, mlp: false },
    window: layerWindow(config, (layer) => layer >= (config.fields?.maxWindowLayers ?? 0)),
  }),
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['q_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
  },
});
