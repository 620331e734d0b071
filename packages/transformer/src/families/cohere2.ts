import { besideEachOther, cohereDefaults } from './cohere.ts';
import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';

/**
 * Cohere's Command R7B and Command A: a Command R with a window in three of four layers, which alone rotate queries and keys. PEFT has no default targets
 * for it. Cohere, 2025. https://arxiv.org/abs/2504.00698; transformers, `modeling_cohere2.py`.
 */
export const cohere2: Family<DecoderConfig> = decoder({
  modelType: 'cohere2',
  stem: 'Cohere2',
  classifies: false,
  defaults: cohereDefaults,
  fields: { logitScale: 0.0625, slidingWindow: 4096, layerTypes: null, slidingWindowPattern: 4 },
  epsField: 'layer_norm_eps',
  traits: (config) => {
    const pattern = config.fields?.slidingWindowPattern ?? 4;
    const window = layerWindow(config, (layer) => (layer + 1) % pattern !== 0);
    return { ...besideEachOther(config), window, rotates: (layer) => window(layer) !== null };
  },
  targets: {},
});
