import type { EncoderConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import type { Family } from './family.ts';

/** The token that takes no position, whatever the config's `pad_token_id` is: transformers, `MPNetEmbeddings`. */
const padding = 1;

/**
 * MPNet: beside learned positions, counted from the padding's id, a bias of relative positions from one table for all blocks. PEFT has no
 * default targets for it. Song et al., 2020. https://arxiv.org/abs/2004.09297
 */
export const mpnet: Family<EncoderConfig> = encoder({
  modelType: 'mpnet',
  stem: 'MPNet',
  prefix: 'mpnet',
  defaults: {
    vocab_size: 30527,
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    hidden_act: 'gelu',
    max_position_embeddings: 512,
    layer_norm_eps: 1e-12,
    pad_token_id: 1,
    bos_token_id: 0,
    eos_token_id: 2,
  },
  fixed: { type_vocab_size: 0 },
  only: { relative_attention_num_buckets: 32 },
  unplacedToken: () => padding,
  relativeBias: { table: 'mpnet.encoder.relative_attention_bias', buckets: 32, maxDistance: 128 },
  block: (index) => {
    const block = `mpnet.encoder.layer.${index}`;
    return {
      block,
      attn: `${block}.attention.attn`,
      query: `${block}.attention.attn.q`,
      key: `${block}.attention.attn.k`,
      value: `${block}.attention.attn.v`,
      out: `${block}.attention.attn.o`,
      attnNorm: `${block}.attention.LayerNorm`,
      mlp: `${block}.output`,
      up: `${block}.intermediate.dense`,
      down: `${block}.output.dense`,
      mlpNorm: `${block}.output.LayerNorm`,
    };
  },
  pooled: {
    dense: 'classifier.dense',
    activation: 'tanh',
    classifier: 'classifier.out_proj',
    trained: ['classifier'],
  },
  choice: { dense: 'mpnet.pooler.dense', activation: 'tanh', classifier: 'classifier', trained: ['classifier'] },
  masked: { dense: 'lm_head.dense', activation: 'gelu', norm: 'lm_head.layer_norm', decoder: 'lm_head.decoder' },
  ignored: /(^|\.)pooler\.dense\.|^lm_head\.bias$/,
  roles: [
    { role: 'query', name: 'attn.q' },
    { role: 'key', name: 'attn.k' },
    { role: 'value', name: 'attn.v' },
    { role: 'attn-out', name: 'attn.o' },
    { role: 'up', name: 'intermediate.dense' },
    { role: 'down', name: 'output.dense' },
  ],
  targets: { lora: ['q', 'v'], ia3: ['k', 'v', 'output.dense'], ia3Feedforward: ['output.dense'], beft: ['v'] },
});
