import { debertaParts } from './deberta-parts.ts';
import type { EncoderConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import { bertBlock } from './encoder/record.ts';
import type { Family } from './family.ts';

/**
 * DeBERTa-v2 and v3: contents and relative positions attend to each other apart; the larger of v2 have a convolution beside the first block. `maskedLM` is the head that transformers calls legacy; checkpoints of
 * v3 have none. Rows of padding see all others there and nothing here: their states differ, which nothing reads but a classifier of
 * texts with padding in front. He, Gao & Chen, 2021. https://arxiv.org/abs/2111.09543
 */
export const debertaV2: Family<EncoderConfig> = encoder({
  ...debertaParts,
  modelType: 'deberta-v2',
  stem: 'DebertaV2',
  prefix: 'deberta',
  defaults: {
    vocab_size: 128100,
    hidden_size: 1536,
    num_hidden_layers: 24,
    num_attention_heads: 24,
    intermediate_size: 6144,
    hidden_act: 'gelu',
    max_position_embeddings: 512,
    type_vocab_size: 0,
    layer_norm_eps: 1e-7,
    pad_token_id: 0,
    pooler_hidden_act: 'gelu',
  },
  convolution: { layer: 'deberta.encoder.conv.conv', norm: 'deberta.encoder.conv.LayerNorm' },
  disentangled: { table: 'deberta.encoder.rel_embeddings', norm: 'deberta.encoder.LayerNorm' },
  block: (index) => {
    const of = bertBlock('deberta')(index);
    return { ...of, query: `${of.query}_proj`, key: `${of.key}_proj`, value: `${of.value}_proj` };
  },
  roles: [
    { role: 'query', name: 'query_proj' },
    { role: 'key', name: 'key_proj' },
    { role: 'value', name: 'value_proj' },
    { role: 'attn-out', name: 'attention.output.dense' },
    { role: 'up', name: 'intermediate.dense' },
    { role: 'down', name: 'output.dense' },
    // A convolution in files, as the layer of patches.
    { role: 'patch', name: 'encoder.conv.conv' },
  ],
  targets: {
    adapterHubModules: ['attention.output', 'output'],
    lora: ['query_proj', 'value_proj'],
    vblora: ['query_proj', 'key_proj', 'value_proj', 'dense'],
    ia3: ['key_proj', 'value_proj', 'output.dense'],
    ia3Feedforward: ['output.dense'],
    beft: ['value_proj'],
  },
});
