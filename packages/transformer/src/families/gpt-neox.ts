import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { fusedTargets, gptLayers } from './decoder/record.ts';
import type { Family } from './family.ts';

/**
 * GPT-NeoX and Pythia: LayerNorm, an MLP without a gate, one layer for queries, keys and values, whose outputs go head by head, a part of each head
 * rotated, and both halves of a block reading the same rows, each with its norm. Black et al., 2022. https://arxiv.org/abs/2204.06745
 */
export const gptNeox: Family<DecoderConfig> = decoder({
  modelType: 'gpt_neox',
  stem: 'GPTNeoX',
  tags: 'classifier',
  answers: 'gpt_neox',
  defaults: {
    layer_norm_eps: 1e-5,
    hidden_act: 'gelu',
    attention_bias: true,
    bos_token_id: 0,
    eos_token_id: 2,
    rotary_pct: 0.25,
  },
  fields: { useParallelResidual: true },
  names: {
    root: 'gpt_neox',
    tokens: 'embed_in',
    last: 'final_layer_norm',
    attn: 'attention',
    queryKeyValue: 'query_key_value',
    byHead: true,
    attnOut: 'dense',
    up: 'dense_h_to_4h',
    down: 'dense_4h_to_h',
    head: 'embed_out',
  },
  epsField: 'layer_norm_eps',
  rotaryField: 'rotary_pct',
  thetaField: 'rotary_emb_base',
  ignored: /\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/,
  traits: ({ attentionBias, fields }) => ({
    ...gptLayers({ qkv: attentionBias, out: attentionBias, mlp: true }),
    parallel: fields?.useParallelResidual ?? true,
  }),
  targets: fusedTargets,
});
