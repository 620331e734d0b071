import type { EncoderConfig } from './encoder/config.ts';
import { encoder } from './encoder/encoder.ts';
import { bertBlock, bertRoles } from './encoder/record.ts';
import type { Family } from './family.ts';

/**
 * ELECTRA: a BERT whose embedding may be narrower than its blocks. `maskedLM` is its generator; that which tells replaced tokens is not read.
 * PEFT has default targets of LoRA alone for it. Clark et al., 2020. https://arxiv.org/abs/2003.10555
 */
export const electra: Family<EncoderConfig> = encoder({
  modelType: 'electra',
  stem: 'Electra',
  prefix: 'electra',
  defaults: {
    vocab_size: 30522,
    embedding_size: 128,
    hidden_size: 256,
    num_hidden_layers: 12,
    num_attention_heads: 4,
    intermediate_size: 1024,
    hidden_act: 'gelu',
    max_position_embeddings: 512,
    type_vocab_size: 2,
    layer_norm_eps: 1e-12,
    pad_token_id: 0,
    summary_type: 'first',
    summary_use_proj: true,
    summary_activation: 'gelu',
  },
  projection: ({ hiddenSize, embeddingSize = hiddenSize }) =>
    embeddingSize === hiddenSize ? null : 'electra.embeddings_project',
  block: bertBlock('electra'),
  pooled: {
    dense: 'classifier.dense',
    activation: 'gelu',
    classifier: 'classifier.out_proj',
    trained: ['classifier'],
  },
  choice: null,
  summary: 'sequence_summary',
  masked: {
    dense: 'generator_predictions.dense',
    activation: 'gelu',
    norm: 'generator_predictions.LayerNorm',
    decoder: 'generator_lm_head',
  },
  ignored: /^discriminator_predictions\./,
  roles: bertRoles,
  targets: { adapterHubModules: ['attention.output', 'output'], lora: ['query', 'value'] },
});
