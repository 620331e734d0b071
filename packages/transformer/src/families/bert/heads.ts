import { reshape, slice, type Tensor, tanh } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { TensorNeed } from '../../weights.ts';
import type { HeadSpec } from '../family.ts';
import { layerNeeds } from '../heads.ts';
import type { BertConfig } from './config.ts';

const pooler = 'bert.pooler.dense';
const transform = 'cls.predictions.transform';
const decoder = 'cls.predictions.decoder';

/** The first row of each sequence: of a prompt in front, where there is one, as in transformers. */
const firstRow = (rows: Tensor): Tensor => {
  const [batch, , width] = rows.shape as readonly [number, number, number];
  return reshape(slice(rows, { axis: 1, start: 0, end: 1 }), [batch, width]);
};

/** classifier(tanh(pooler(first row))): `BertForSequenceClassification`. */
export const pooledHead: HeadSpec<BertConfig> = {
  modelClass: 'BertForSequenceClassification',
  layer: 'classifier',
  trained: ['classifier'],
  needs: ({ hiddenSize }, labels) =>
    new Map([
      ...layerNeeds(pooler, hiddenSize, hiddenSize, true),
      ...layerNeeds('classifier', labels, hiddenSize, true),
    ]),
  features: ({ linears }, { rows, call }) => tanh(linears.get(pooler)!.apply(firstRow(rows), call(pooler))),
};

/** decoder(LayerNorm(act(dense(rows)))), whose decoder is the token table with a bias, where they are tied: `BertForMaskedLM`. */
export const maskedHead: HeadSpec<BertConfig> = {
  modelClass: 'BertForMaskedLM',
  layer: decoder,
  trained: [],
  needs: ({ hiddenSize, tieWordEmbeddings }, vocabSize) => {
    const norm = (part: string, init: TensorNeed['init']): [string, TensorNeed] => [
      `${transform}.LayerNorm.${part}`,
      { shape: [hiddenSize], init },
    ];
    const own = layerNeeds(decoder, vocabSize, hiddenSize, true);
    return new Map([
      ...layerNeeds(`${transform}.dense`, hiddenSize, hiddenSize, true),
      norm('weight', 'ones'),
      norm('bias', 'zeros'),
      ...(tieWordEmbeddings ? own.filter(([name]) => name.endsWith('.bias')) : own),
    ]);
  },
  features: ({ linears, norms }, { main, call }, _, { activation }) => {
    const [dense, norm] = [`${transform}.dense`, `${transform}.LayerNorm`];
    const inner = activations[activation](linears.get(dense)!.apply(main, call(dense)));
    return norms.get(norm)!.apply(inner, call(norm));
  },
};
