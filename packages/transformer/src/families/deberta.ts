import { debertaParts } from './deberta-parts.ts';
import type { EncoderConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import { bertBlock } from './encoder/record.ts';
import type { Family } from './family.ts';

/**
 * DeBERTa, the first version: contents and relative positions attend to each other apart, without buckets; queries, keys and values are one layer, head by head. `maskedLM` is the head that transformers
 * calls legacy. Of rows of padding see `debertaV2`. He, Liu, Gao & Chen, 2020. https://arxiv.org/abs/2006.03654; transformers, `modeling_deberta.py`.
 */
export const deberta: Family<EncoderConfig> = encoder({
  ...debertaParts,
  modelType: 'deberta',
  stem: 'Deberta',
  prefix: 'deberta',
  defaults: {
    vocab_size: 50265,
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    hidden_act: 'gelu',
    max_position_embeddings: 512,
    type_vocab_size: 0,
    layer_norm_eps: 1e-7,
    pad_token_id: 0,
    pooler_hidden_act: 'gelu',
  },
  fixed: { position_buckets: -1, share_att_key: false, norm_rel_ebd: 'none' },
  only: { talking_head: false },
  disentangled: {
    table: 'deberta.encoder.rel_embeddings',
    norm: 'deberta.encoder.LayerNorm',
    layers: ['pos_proj', 'pos_q_proj'],
    keyBias: false,
  },
  block: (index) => {
    const of = bertBlock('deberta')(index);
    const self = `${of.attn}.self`;
    const all = `${self}.in_proj`;
    return {
      ...of,
      query: all,
      key: all,
      value: all,
      fused: { queryBias: `${self}.q_bias`, valueBias: `${self}.v_bias` },
    };
  },
  choice: null,
  roles: [
    { role: 'attn-out', name: 'attention.output.dense' },
    { role: 'up', name: 'intermediate.dense' },
    { role: 'down', name: 'output.dense' },
  ],
  targets: {
    lora: ['in_proj'],
    vblora: ['in_proj'],
    ia3: ['in_proj', 'output.dense'],
    ia3Feedforward: ['output.dense'],
  },
});
