import type { EncoderConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import type { Family } from './family.ts';

/**
 * ALBERT: groups of layers share their weights, and with them what a method adds; the embedding is narrower than the blocks. PEFT has no
 * default targets for it. Lan et al., 2019. https://arxiv.org/abs/1909.11942
 */
export const albert: Family<EncoderConfig> = encoder({
  modelType: 'albert',
  stem: 'Albert',
  prefix: 'albert',
  defaults: {
    vocab_size: 30000,
    embedding_size: 128,
    hidden_size: 4096,
    num_hidden_layers: 12,
    num_hidden_groups: 1,
    inner_group_num: 1,
    num_attention_heads: 64,
    intermediate_size: 16384,
    hidden_act: 'gelu_new',
    max_position_embeddings: 512,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
    bos_token_id: 2,
    eos_token_id: 3,
  },
  projection: () => 'albert.encoder.embedding_hidden_mapping_in',
  block: (index) => {
    const block = `albert.encoder.albert_layer_groups.${index}.albert_layers.0`;
    return {
      block,
      attn: `${block}.attention`,
      query: `${block}.attention.query`,
      key: `${block}.attention.key`,
      value: `${block}.attention.value`,
      out: `${block}.attention.dense`,
      attnNorm: `${block}.attention.LayerNorm`,
      mlp: `${block}.ffn_output`,
      up: `${block}.ffn`,
      down: `${block}.ffn_output`,
      mlpNorm: `${block}.full_layer_layer_norm`,
    };
  },
  pooled: { dense: 'albert.pooler', activation: 'tanh', classifier: 'classifier', trained: ['classifier'] },
  masked: {
    dense: 'predictions.dense',
    activation: null,
    norm: 'predictions.LayerNorm',
    decoder: 'predictions.decoder',
  },
  ignored: /^sop_classifier\.|^predictions\.bias$/,
  roles: [
    { role: 'query', name: 'attention.query' },
    { role: 'key', name: 'attention.key' },
    { role: 'value', name: 'attention.value' },
    { role: 'attn-out', name: 'attention.dense' },
    { role: 'up', name: 'ffn' },
    { role: 'down', name: 'ffn_output' },
  ],
  targets: {
    lora: ['query', 'value'],
    ia3: ['key', 'value', 'ffn_output'],
    ia3Feedforward: ['ffn_output'],
    beft: ['value'],
  },
});
