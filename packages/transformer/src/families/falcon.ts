import { bloomNames } from './bloom.ts';
import type { DecoderConfig, DecoderFields } from './decoder/config.ts';
import { decoder } from './decoder/decoder.ts';
import { fusedTargets, gptLayers, normsBefore } from './decoder/record.ts';
import type { Family } from './family.ts';

const [hiddenSize, heads] = [4544, 71];

/** The heads of keys and values by `config.json`: some in the newer architecture, in the older one or as many as of queries. */
const keyHeadsOf = (json: Readonly<Record<string, unknown>>): unknown => {
  const { num_attention_heads: all = heads, num_kv_heads: some, multi_query: isShared = true } = json;
  if (json['new_decoder_architecture']) return some ?? all;
  return isShared ? 1 : all;
};

/** The norms of a block's halves: one for each half, of the stream or by turns, or one for both. */
const normsOf = ({
  newDecoderArchitecture: isNew,
  parallelAttn = true,
  numLnInParallelAttn,
}: Partial<DecoderFields>) => {
  if (isNew && numLnInParallelAttn !== 1) return normsBefore('ln_attn', 'ln_mlp');
  return isNew || parallelAttn
    ? normsBefore('input_layernorm')
    : normsBefore('input_layernorm', 'post_attention_layernorm');
};

/**
 * Falcon: one layer for queries, keys and values, whose outputs go by heads of keys, one for all queries (7B), one for some (40B, 180B, 11B) or one for each
 * (RW); both halves of a block reading the stream, but in RW, which has ALiBi in place of rotary positions; LayerNorm, and an MLP without a gate.
 * Almazrouei et al., 2023. https://arxiv.org/abs/2311.16867; transformers, `modeling_falcon.py`.
 */
export const falcon: Family<DecoderConfig> = decoder({
  modelType: 'falcon',
  stem: 'Falcon',
  tags: 'classifier',
  answers: 'transformer',
  positions: ({ alibi }) => (alibi ? 'coarse-alibi' : 'rotary'),
  defaults: {
    vocab_size: 65_024,
    num_hidden_layers: 32,
    num_attention_heads: heads,
    layer_norm_epsilon: 1e-5,
    activation: 'gelu',
    bos_token_id: 11,
    eos_token_id: 11,
    tie_word_embeddings: true,
  },
  fields: {
    alibi: false,
    newDecoderArchitecture: false,
    multiQuery: true,
    parallelAttn: true,
    numLnInParallelAttn: null,
    bias: false,
  },
  names: bloomNames,
  epsField: 'layer_norm_epsilon',
  activationField: 'activation',
  ownNames: { ffn_hidden_size: 'intermediate_size' },
  unread: ['head_dim', 'attention_bias', 'mlp_bias', 'partial_rotary_factor', 'num_key_value_heads'],
  words: {
    read: (json) => {
      const width = json['n_embed'] ?? json['hidden_size'] ?? hiddenSize;
      return {
        ...json,
        hidden_size: width,
        intermediate_size: json['ffn_hidden_size'] ?? 4 * Number(width),
        num_key_value_heads: keyHeadsOf(json),
      };
    },
    write: ({ max_position_embeddings: most, ...json }, { heads: all, keyValueHeads, fields }) => ({
      ...json,
      ...(Number.isFinite(most) && { max_position_embeddings: most }),
      num_kv_heads: fields?.newDecoderArchitecture ? keyValueHeads : all,
    }),
  },
  traits: ({ fields = {} }) => {
    const { newDecoderArchitecture: isNew = false, parallelAttn = true, bias = false } = fields;
    return {
      ...gptLayers(bias),
      parallel: isNew || parallelAttn,
      norms: normsOf(fields),
    };
  },
  targets: fusedTargets,
});
