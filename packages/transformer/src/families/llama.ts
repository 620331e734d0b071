import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Family } from './family.ts';

/**
 * Llama-type decoders: RMSNorm before each half, rotary positions, grouped key/value heads, gated SiLU MLP.
 * Touvron et al., 2023. https://arxiv.org/abs/2302.13971
 */
export const llama: Family<DecoderConfig> = decoder({
  modelType: 'llama',
  stem: 'Llama',
  tags: 'score',
  answers: 'transformer',
  targets: {
    lora: ['q_proj', 'v_proj'],
    ia3: ['k_proj', 'v_proj', 'down_proj'],
    ia3Feedforward: ['down_proj'],
    beft: ['v_proj'],
    adapterHubIntermediate: ['down_proj'],
    adapterHubOutput: ['up_proj'],
    adapterHubPrefix: ['model'],
  },
});
