import type { BertConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import { bertBlock, bertRoles } from './encoder/record.ts';
import type { Family } from './family.ts';

/** BERT: of the sites `mlp` is at `output`, where its result is added. Devlin et al., 2018. https://arxiv.org/abs/1810.04805 */
export const bert: Family<BertConfig> = encoder({
  modelType: 'bert',
  stem: 'Bert',
  prefix: 'bert',
  defaults: {
    vocab_size: 30522,
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    hidden_act: 'gelu',
    max_position_embeddings: 512,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
  },
  block: bertBlock('bert'),
  pooled: { dense: 'bert.pooler.dense', activation: 'tanh', classifier: 'classifier', trained: ['classifier'] },
  masked: {
    dense: 'cls.predictions.transform.dense',
    activation: null,
    norm: 'cls.predictions.transform.LayerNorm',
    decoder: 'cls.predictions.decoder',
  },
  stacks: true,
  ignored: /^cls\.seq_relationship\.|^cls\.predictions\.bias$/,
  roles: bertRoles,
  targets: {
    adapterHubPrefix: ['bert'],
    adapterHubModules: ['attention.output', 'output'],
    adapterHubInvertible: ['bert'],
    adapterHubProjections: ['query', 'key', 'value'],
    lora: ['query', 'value'],
    ia3: ['key', 'value', 'output.dense'],
    ia3Feedforward: ['output.dense'],
    beft: ['value'],
  },
});
