import { mean, type Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import { firstRow, lastRow } from '../../pooling.ts';
import type { Path } from '../../sites.ts';
import type { HeadSpec } from '../family.ts';
import { layerNeeds } from '../heads.ts';
import type { EncoderConfig, Summary } from './config.ts';
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

const summaries: { readonly [R in Summary['reads']]: (rows: Tensor) => Tensor } = {
  first: firstRow,
  last: lastRow,
  mean: (rows) => mean(rows, { axes: [1] }),
};

/**
 * classifier(act(summary(row))), of a text's first or last row or their mean, as the config says: `ElectraForMultipleChoice`. Padding counts, as there. `module`: that of
 * the layer before the classifier, where there is one.
 */
export const summaryHead = (modelClass: string, module: Path): HeadSpec<EncoderConfig> => {
  const [classifier, layer] = ['classifier', `${module}.summary`];
  return {
    modelClass,
    layer: classifier,
    trained: [module, classifier],
    needs: ({ hiddenSize, summary }, labels) =>
      new Map([
        ...(summary!.projects ? layerNeeds(layer, hiddenSize, hiddenSize, true) : []),
        ...layerNeeds(classifier, labels, hiddenSize, true),
      ]),
    features: ({ linears }, { rows, call }, _, { summary }) => {
      const { reads, projects, activation } = summary!;
      const row = summaries[reads](rows);
      const y = projects ? linears.get(layer)!.apply(row, call(layer)) : row;
      return activation === null ? y : activations[activation](y);
    },
  };
};

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
