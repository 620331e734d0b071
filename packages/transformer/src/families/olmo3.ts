import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';
import { layerWindow } from './layer-window.ts';
import { afterEachHalf } from './olmo2.ts';

/**
 * OLMo 3: an OLMo 2 with a window in three of four layers, whose positions are not stretched where those of the others are.
 * Team OLMo, 2025; transformers, `modeling_olmo3.py`. PEFT has no default targets for it.
 */
export const olmo3: Family<DecoderConfig> = decoder({
  modelType: 'olmo3',
  stem: 'Olmo3',
  defaults: { rms_norm_eps: 1e-5, rope_theta: 500_000, pad_token_id: 1, eos_token_id: 50_279 },
  localTheta: 500_000,
  fields: { slidingWindow: 4096, layerTypes: null },
  unread: ['rope_local_base_freq'],
  words: {
    write: ({ rope_theta, rope_scaling, ...json }, { localRope }) => ({
      ...json,
      rope_parameters: {
        full_attention: { rope_type: 'default', ...Object(rope_scaling), rope_theta },
        sliding_attention: { rope_type: 'default', rope_theta: localRope?.ropeTheta },
      },
    }),
  },
  traits: (config) => ({ ...afterEachHalf(config), window: layerWindow(config, (layer) => (layer + 1) % 4 !== 0) }),
  targets: {},
});
