import type { EncoderConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import { bertBlock, bertRoles, type EncoderRecord } from './encoder/record.ts';
import type { Family } from './family.ts';

/** All of RoBERTa's record but its name; XLM-R is the same with another vocabulary. */
const record: Omit<EncoderRecord, 'modelType' | 'stem' | 'targets'> = {
  prefix: 'roberta',
  defaults: {
    vocab_size: 50265,
    hidden_size: 768,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    intermediate_size: 3072,
    hidden_act: 'gelu',
    max_position_embeddings: 512,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 1,
    bos_token_id: 0,
    eos_token_id: 2,
  },
  unplacedToken: ({ padId }) => padId,
  block: bertBlock('roberta'),
  pooled: {
    dense: 'classifier.dense',
    activation: 'tanh',
    classifier: 'classifier.out_proj',
    trained: ['classifier'],
  },
  choice: { dense: 'roberta.pooler.dense', activation: 'tanh', classifier: 'classifier', trained: ['classifier'] },
  masked: { dense: 'lm_head.dense', activation: 'gelu', norm: 'lm_head.layer_norm', decoder: 'lm_head.decoder' },
  ignored: /(^|\.)pooler\.dense\.|^lm_head\.bias$/,
  roles: bertRoles,
};

/** RoBERTa: positions are counted from the padding's id, padding takes none. Liu et al., 2019. https://arxiv.org/abs/1907.11692 */
export const roberta: Family<EncoderConfig> = encoder({
  ...record,
  modelType: 'roberta',
  stem: 'Roberta',
  stacks: true,
  targets: {
    adapterHubPrefix: ['roberta'],
    adapterHubModules: ['attention.output', 'output'],
    adapterHubInvertible: ['roberta'],
    adapterHubProjections: ['query', 'key', 'value'],
    lora: ['query', 'value'],
    ia3: ['key', 'value', 'output.dense'],
    ia3Feedforward: ['output.dense'],
    beft: ['value'],
  },
});

/** XLM-R: a RoBERTa of a hundred languages. PEFT has no default targets of (IA)³ for it. Conneau et al., 2019. https://arxiv.org/abs/1911.02116 */
export const xlmRoberta: Family<EncoderConfig> = encoder({
  ...record,
  modelType: 'xlm-roberta',
  stem: 'XLMRoberta',
  targets: {
    adapterHubModules: ['attention.output', 'output'],
    adapterHubInvertible: ['roberta'],
    lora: ['query', 'value'],
  },
});
