import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { gptLayers } from './decoder/record.ts';
import type { Family } from './family.ts';

/**
 * StarCoder2: a Mistral with LayerNorm, biases and an MLP without a gate. Lozhkov et al., 2024. https://arxiv.org/abs/2402.19173. PEFT has no default
 * targets for it.
 */
export const starcoder2: Family<DecoderConfig> = decoder({
  modelType: 'starcoder2',
  stem: 'Starcoder2',
  tags: 'score',
  defaults: {
    num_key_value_heads: 2,
    hidden_act: 'gelu_pytorch_tanh',
    max_position_embeddings: 4096,
    norm_epsilon: 1e-5,
    tie_word_embeddings: true,
    bos_token_id: 50_256,
    eos_token_id: 50_256,
  },
  names: { up: 'c_fc', down: 'c_proj' },
  epsField: 'norm_epsilon',
  fields: { slidingWindow: null, useBias: true },
  traits: ({ fields: { slidingWindow = null, useBias = true } = {} }) => ({
    ...gptLayers(useBias),
    window: () => slidingWindow,
  }),
  targets: {},
});
