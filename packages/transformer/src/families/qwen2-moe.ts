import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';
import { qwenExpertFields, qwenExpertFiles, qwenExperts } from './qwen-experts.ts';

/**
 * Qwen1.5-MoE and Qwen2-MoE: a Qwen2 with experts in place of the MLP, and one MLP beside them that all tokens go through. PEFT has no default targets
 * for it. Qwen Team, 2024. https://arxiv.org/abs/2407.10671
 */
export const qwen2Moe: Family<DecoderConfig> = decoder({
  modelType: 'qwen2_moe',
  stem: 'Qwen2Moe',
  tags: 'score',
  answers: 'model',
  defaults: { num_key_value_heads: 16, max_position_embeddings: 32_768 },
  fields: {
    ...qwenExpertFields,
    numExperts: 60,
    numExpertsPerTok: 4,
    moeIntermediateSize: 1408,
    sharedExpertIntermediateSize: 5632,
    qkvBias: true,
    maxWindowLayers: 28,
    layerTypes: null,
  },
  // transformers writes 0 where there is none.
  words: {
    read: (json) => ({ ...json, sliding_window: json['sliding_window'] || null }),
    write: (json) => ({ ...json, sliding_window: json['sliding_window'] ?? 0 }),
  },
  expertFiles: qwenExpertFiles,
  traits: (config) => ({
    biases: { qkv: config.fields?.qkvBias ?? true, out: false, mlp: false },
    window: layerWindow(config, (layer) => layer % 2 === 0 && layer < (config.fields?.maxWindowLayers ?? 0)),
    experts: qwenExperts(config),
  }),
  targets: {},
});
