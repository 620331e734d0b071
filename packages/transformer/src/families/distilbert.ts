import type { EncoderConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import type { Family } from './family.ts';

/**
 * DistilBERT: a BERT of half the layers without token types. Its checkpoints have no `pre_classifier`, so that one is trained with the
 * classifier. PEFT has no default targets for it. Sanh et al., 2019. https://arxiv.org/abs/1910.01108
 */
export const distilbert: Family<EncoderConfig> = encoder({
  modelType: 'distilbert',
  stem: 'DistilBert',
  prefix: 'distilbert',
  defaults: {
    vocab_size: 30522,
    hidden_size: 768,
    num_hidden_layers: 6,
    num_attention_heads: 12,
    intermediate_size: 3072,
    hidden_act: 'gelu',
    max_position_embeddings: 512,
    pad_token_id: 0,
  },
  fieldNames: {
    hidden_size: 'dim',
    num_hidden_layers: 'n_layers',
    num_attention_heads: 'n_heads',
    intermediate_size: 'hidden_dim',
    hidden_act: 'activation',
  },
  fixed: { layer_norm_eps: 1e-12, type_vocab_size: 0 },
  block: (index) => {
    const block = `distilbert.transformer.layer.${index}`;
    return {
      block,
      attn: `${block}.attention`,
      query: `${block}.attention.q_lin`,
      key: `${block}.attention.k_lin`,
      value: `${block}.attention.v_lin`,
      out: `${block}.attention.out_lin`,
      attnNorm: `${block}.sa_layer_norm`,
      mlp: `${block}.ffn`,
      up: `${block}.ffn.lin1`,
      down: `${block}.ffn.lin2`,
      mlpNorm: `${block}.output_layer_norm`,
    };
  },
  pooled: {
    dense: 'pre_classifier',
    activation: 'relu',
    classifier: 'classifier',
    trained: ['pre_classifier', 'classifier'],
  },
  masked: { dense: 'vocab_transform', activation: null, norm: 'vocab_layer_norm', decoder: 'vocab_projector' },
  roles: [
    { role: 'query', name: 'q_lin' },
    { role: 'key', name: 'k_lin' },
    { role: 'value', name: 'v_lin' },
    { role: 'attn-out', name: 'out_lin' },
    { role: 'up', name: 'lin1' },
    { role: 'down', name: 'lin2' },
  ],
  targets: {
    adapterHubModules: ['attention_adapters', 'output_adapters'],
    lora: ['q_lin', 'v_lin'],
    ia3: ['k_lin', 'v_lin', 'lin2'],
    ia3Feedforward: ['lin2'],
    beft: ['v_lin'],
  },
});
