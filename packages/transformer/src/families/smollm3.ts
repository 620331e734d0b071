import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';

/**
 * SmolLM3: a Llama some of whose layers do not rotate queries and keys: by `no_rope_layers`, else every fourth (NoPE).
 * Windows, where asked for, are for those. Yang et al., 2025. https://arxiv.org/abs/2501.18795; transformers, `SmolLM3Config`. PEFT has no default targets for it.
 */
export const smollm3: Family<DecoderConfig> = decoder({
  modelType: 'smollm3',
  stem: 'SmolLM3',
  tags: 'score',
  answers: 'transformer',
  defaults: {
    num_key_value_heads: 4,
    max_position_embeddings: 32_768,
    rope_theta: 2_000_000,
    tie_word_embeddings: true,
    pad_token_id: 128_004,
    bos_token_id: 128_000,
    eos_token_id: 128_001,
  },
  fields: {
    noRopeLayers: null,
    noRopeLayerInterval: 4,
    useSlidingWindow: false,
    slidingWindow: null,
    layerTypes: null,
  },
  traits: (config) => {
    const { noRopeLayers, noRopeLayerInterval = 4 } = config.fields ?? {};
    const rotates = (layer: number): boolean =>
      noRopeLayers ? noRopeLayers[layer] === 1 : (layer + 1) % noRopeLayerInterval !== 0;
    return { rotates, window: layerWindow(config, (layer) => !rotates(layer)) };
  },
  targets: {},
});
