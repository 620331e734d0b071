import { activationNames } from '../../activation.ts';
import type { EncoderConfig } from './config.ts';
import { type EncoderRecord, firstPosition } from './record.ts';

const disentangledJson = ({
  disentangled: of,
  poolerActivation,
  maxPositions: most,
}: EncoderConfig): Readonly<Record<string, unknown>> =>
  of
    ? {
        relative_attention: of.relative,
        position_buckets: of.buckets,
        max_relative_positions: of.maxDistance === most ? -1 : of.maxDistance,
        pos_att_type: [...(of.positionToContent ? ['p2c'] : []), ...(of.contentToPosition ? ['c2p'] : [])],
        share_att_key: of.sharedKeys,
        norm_rel_ebd: of.normed ? 'layer_norm' : 'none',
        position_biased_input: of.absolute,
        pooler_hidden_act: activationNames[poolerActivation ?? 'gelu'],
      }
    : {};

const summaryJson = ({ summary: of }: EncoderConfig): Readonly<Record<string, unknown>> =>
  of
    ? {
        summary_type: of.reads,
        summary_use_proj: of.projects,
        summary_activation: of.activation === null ? '' : activationNames[of.activation],
      }
    : {};

/** The `config.json` of an encoder, as Hugging Face's transformers reads it. */
export const encoderConfigJson = (record: EncoderRecord, c: EncoderConfig): Readonly<Record<string, unknown>> => {
  const fields = {
    model_type: c.modelType,
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.layers,
    num_attention_heads: c.heads,
    max_position_embeddings: c.maxPositions + firstPosition(record, c),
    type_vocab_size: c.tokenTypes,
    layer_norm_eps: c.normEps,
    tie_word_embeddings: c.tieWordEmbeddings,
    hidden_act: activationNames[c.activation],
    bos_token_id: c.bosId,
    eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
    pad_token_id: c.padId,
    ...('embedding_size' in record.defaults && { embedding_size: c.embeddingSize ?? c.hiddenSize }),
    ...('num_hidden_groups' in record.defaults && { num_hidden_groups: c.groups ?? c.layers, inner_group_num: 1 }),
    ...disentangledJson(c),
    ...summaryJson(c),
    ...(c.convolution && {
      conv_kernel_size: c.convolution.kernel,
      conv_act: activationNames[c.convolution.activation],
    }),
  };
  const { fieldNames = {}, fixed = {} } = record;
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) =>
      Object.hasOwn(fixed, name) ? [] : [[fieldNames[name] ?? name, value]],
    ),
  );
};
