import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';
import { qwenExpertFields, qwenExpertFiles, qwenExperts } from './qwen-experts.ts';

/**
 * Qwen3-MoE: a Qwen3 with experts in place of the MLP; windows are for all layers or none. PEFT has no default targets for it.
 * Qwen Team, 2025. https://arxiv.org/abs/2505.09388
 */
export const qwen3Moe: Family<DecoderConfig> = decoder({
  modelType: 'qwen3_moe',
  stem: 'Qwen3Moe',
  tags: 'score',
  answers: 'transformer',
  defaults: { num_key_value_heads: 4, max_position_embeddings: 32_768 },
  fields: { ...qwenExpertFields, numExperts: 128, numExpertsPerTok: 8, moeIntermediateSize: 768 },
  // transformers 5 writes the second name, and takes either.
  words: {
    names: ['num_local_experts'],
    read: ({ num_local_experts: count, num_experts: own = count, ...json }) => ({ ...json, num_experts: own }),
    write: (json) => json,
  },
  expertFiles: qwenExpertFiles,
  traits: (config) => ({
    biases: { qkv: config.attentionBias, out: config.attentionBias, mlp: false },
    queryKeyNorms: 'by-head',
    window: layerWindow(config, () => true),
    experts: qwenExperts(config),
  }),
  targets: {},
});
