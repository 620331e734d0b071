import { activations } from '../../activation.ts';
import { firstRow } from '../../pooling.ts';
import type { HeadSpec } from '../family.ts';
import { layerNeeds } from '../heads.ts';
import type { EncoderConfig } from './config.ts';
import type { EncoderRecord, PooledHead } from './record.ts';

/** classifier(act(dense(first row))): `BertForSequenceClassification`, `BertForMultipleChoice` and those like them. */
export const pooledHead = (modelClass: string, pooled: PooledHead): HeadSpec<EncoderConfig> => ({
  modelClass,
  layer: pooled.classifier,
  trained: pooled.trained,
  needs: ({ hiddenSize }, labels) =>
    new Map([
      ...layerNeeds(pooled.dense, hiddenSize, hiddenSize, true),
      ...layerNeeds(pooled.classifier, labels, hiddenSize, true),
    ]),
  features: ({ linears }, { rows, call }, _, { poolerActivation = pooled.activation }) =>
    activations[poolerActivation](linears.get(pooled.dense)!.apply(firstRow(rows), call(pooled.dense))),
});

/** decoder(LayerNorm(act(dense(rows)))), whose decoder is the token table with a bias, where they are tied: `BertForMaskedLM` and those like it. */
export const maskedHead = ({ stem, masked }: EncoderRecord): HeadSpec<EncoderConfig> => ({
  modelClass: `${stem}ForMaskedLM`,
  layer: masked.decoder,
  trained: [],
  needs: ({ hiddenSize, embeddingSize: width = hiddenSize, tieWordEmbeddings }, vocabSize) => {
    const own = layerNeeds(masked.decoder, vocabSize, width, true);
    return new Map([
      ...layerNeeds(masked.dense, width, hiddenSize, true),
      [`${masked.norm}.weight`, { shape: [width], init: 'ones' }] as const,
      [`${masked.norm}.bias`, { shape: [width], init: 'zeros' }] as const,
      ...(tieWordEmbeddings ? own.filter(([name]) => name.endsWith('.bias')) : own),
    ]);
  },
  features: ({ linears, norms }, { main, call }, _, { activation }) => {
    const act = activations[masked.activation ?? activation];
    const inner = act(linears.get(masked.dense)!.apply(main, call(masked.dense)));
    return norms.get(masked.norm)!.apply(inner, call(masked.norm));
  },
});
