import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import type { Traits } from './decoder/record.ts';
import type { Family } from './family.ts';

/** Norms after each half of a block instead of before it, and of queries and keys, all heads together. */
export const afterEachHalf = ({ attentionBias }: DecoderConfig): Partial<Traits> => ({
  biases: { qkv: attentionBias, out: attentionBias, mlp: false },
  norms: {
    attn: { before: null, after: 'post_attention_layernorm' },
    mlp: { before: null, after: 'post_feedforward_layernorm' },
  },
  queryKeyNorms: 'all-heads',
});

/**
 * OLMo 2: a Llama whose norms come after each half of a block instead of before it, and whose queries and keys are normed, all heads together.
 * Team OLMo, 2025. https://arxiv.org/abs/2501.00656. PEFT has no default targets for it.
 */
export const olmo2: Family<DecoderConfig> = decoder({
  modelType: 'olmo2',
  stem: 'Olmo2',
  defaults: { rms_norm_eps: 1e-5, pad_token_id: 1, eos_token_id: 50_279 },
  traits: afterEachHalf,
  targets: {},
});
