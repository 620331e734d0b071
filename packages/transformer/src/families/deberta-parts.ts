import type { EncoderRecord } from './encoder/record.ts';

/** The heads of all versions of DeBERTa, and the tensors of their files that no task here reads. */
export const debertaParts: Pick<EncoderRecord, 'sameAsHidden' | 'pooled' | 'masked' | 'ignored'> = {
  sameAsHidden: ['embedding_size', 'pooler_hidden_size'],
  pooled: {
    dense: 'pooler.dense',
    activation: 'gelu',
    classifier: 'classifier',
    trained: ['pooler', 'classifier'],
  },
  masked: {
    dense: 'cls.predictions.transform.dense',
    activation: null,
    norm: 'cls.predictions.transform.LayerNorm',
    decoder: 'cls.predictions.decoder',
  },
  ignored:
    /^cls\.predictions\.bias$|^(lm|mask)_predictions\.|(^|\.)embeddings\.position_embeddings\.|(^|\.)encoder\.LayerNorm\./,
};
