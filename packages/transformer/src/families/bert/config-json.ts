import { activationNames } from '../../activation.ts';
import type { BertConfig } from './config.ts';

/** The `config.json` of a BERT, as Hugging Face's transformers reads it. */
export const bertConfigJson = (c: BertConfig): Readonly<Record<string, unknown>> => ({
  model_type: 'bert',
  vocab_size: c.vocabSize,
  hidden_size: c.hiddenSize,
  intermediate_size: c.intermediateSize,
  num_hidden_layers: c.layers,
  num_attention_heads: c.heads,
  max_position_embeddings: c.maxPositions,
  type_vocab_size: c.tokenTypes,
  layer_norm_eps: c.normEps,
  tie_word_embeddings: c.tieWordEmbeddings,
  hidden_act: activationNames[c.activation],
  bos_token_id: c.bosId,
  eos_token_id: c.eosIds.length === 1 ? c.eosIds[0] : c.eosIds.length > 0 ? c.eosIds : null,
  pad_token_id: c.padId,
});
