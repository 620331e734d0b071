import type { DecoderConfig } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { unknownBeforeLlama } from './decoder/other-words.ts';
import type { DecoderRecord } from './decoder/record.ts';
import { gptLayers } from './decoder/record.ts';
import type { Family } from './family.ts';

/** The names of its tensors, which Falcon has too. */
export const bloomNames: NonNullable<DecoderRecord['names']> = {
  root: 'transformer',
  blocks: 'h',
  tokens: 'word_embeddings',
  last: 'ln_f',
  attn: 'self_attention',
  queryKeyValue: 'query_key_value',
  byHead: true,
  attnOut: 'dense',
  up: 'dense_h_to_4h',
  down: 'dense_4h_to_h',
};

/**
 * BLOOM: scores that fall with the distance (ALiBi) and no limit of positions, a LayerNorm of the embedded tokens, one layer for queries, keys and values,
 * whose outputs go head by head, and an MLP without a gate. Le Scao et al., 2022. https://arxiv.org/abs/2211.05100; transformers,
 * `modeling_bloom.py`.
 */
export const bloom: Family<DecoderConfig> = decoder({
  modelType: 'bloom',
  stem: 'Bloom',
  tags: 'classifier',
  answers: 'transformer',
  positions: 'alibi',
  defaults: {
    vocab_size: 250_880,
    n_layer: 2,
    n_head: 8,
    layer_norm_epsilon: 1e-5,
    bos_token_id: 1,
    eos_token_id: 2,
    tie_word_embeddings: true,
  },
  fields: { applyResidualConnectionPostLayernorm: false },
  names: bloomNames,
  epsField: 'layer_norm_epsilon',
  ownNames: { n_layer: 'num_hidden_layers', n_head: 'num_attention_heads' },
  unread: unknownBeforeLlama,
  words: {
    read: (json) => {
      const width = json['n_embed'] ?? json['hidden_size'] ?? 64;
      return {
        ...json,
        hidden_size: width,
        intermediate_size: 4 * Number(width),
        hidden_act: 'gelu_pytorch_tanh',
        max_position_embeddings: undefined,
      };
    },
    write: ({ intermediate_size: _, hidden_act: __, max_position_embeddings: ___, ...own }) => own,
  },
  traits: ({ fields }) => ({
    ...gptLayers(true),
    rowNorm: 'word_embeddings_layernorm',
    addsToRead: fields?.applyResidualConnectionPostLayernorm ?? false,
  }),
  targets: {
    lora: ['query_key_value'],
    ia3: ['query_key_value', 'mlp.dense_4h_to_h'],
    ia3Feedforward: ['mlp.dense_4h_to_h'],
  },
});
