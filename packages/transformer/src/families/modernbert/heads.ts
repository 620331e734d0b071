import type { Tensor } from '@peftjs/tensor';
import { activations } from '../../activation.ts';
import type { Model } from '../../model.ts';
import { firstRow, meanRow } from '../../pooling.ts';
import type { Inputs, States } from '../../states.ts';
import type { TensorNeed } from '../../weights.ts';
import type { HeadSpec } from '../family.ts';
import { layerNeeds } from '../heads.ts';
import type { ModernBertConfig } from './config.ts';
import { normNeeds } from './needs.ts';

/** The layer and the norm before every head. */
const before = { dense: 'head.dense', norm: 'head.norm' };

const beforeNeeds = (config: ModernBertConfig): [string, TensorNeed][] => [
  ...layerNeeds(before.dense, config.hiddenSize, config.hiddenSize, config.classifierBias),
  ...normNeeds(before.norm, config),
];

/** norm(act(dense(x))): transformers, `ModernBertPredictionHead`. */
const through = ({ linears, norms }: Model, x: Tensor, { call }: States, config: ModernBertConfig): Tensor => {
  const made = linears.get(before.dense)!.apply(x, call(before.dense));
  return norms.get(before.norm)!.apply(activations[config.classifierActivation](made), call(before.norm));
};

type Read = (states: States, inputs: Inputs, config: ModernBertConfig) => Tensor;

const head = (task: string, layer: string, read: Read): HeadSpec<ModernBertConfig> => ({
  modelClass: `ModernBertFor${task}`,
  layer,
  trained: [layer],
  needs: (config, outputs) => new Map([...beforeNeeds(config), ...layerNeeds(layer, outputs, config.hiddenSize, true)]),
  features: (model, states, inputs, config) => through(model, read(states, inputs, config), states, config),
});

/** classifier(norm(act(dense(first row, or the mean)))): `ModernBertForSequenceClassification`. */
export const textHead: HeadSpec<ModernBertConfig> = head(
  'SequenceClassification',
  'classifier',
  ({ rows, main }, inputs, { classifierPooling }) =>
    classifierPooling === 'cls' ? firstRow(rows) : meanRow(rows, inputs, main.shape[1]!),
);

/** The same of each choice: `ModernBertForMultipleChoice`. */
export const choiceHead: HeadSpec<ModernBertConfig> = { ...textHead, modelClass: 'ModernBertForMultipleChoice' };

/** The same of every token: `ModernBertForTokenClassification`. */
export const wordHead: HeadSpec<ModernBertConfig> = head('TokenClassification', 'classifier', ({ main }) => main);

/** The same of every token, with two outputs: `ModernBertForQuestionAnswering`. */
export const answerHead: HeadSpec<ModernBertConfig> = head('QuestionAnswering', 'classifier', ({ main }) => main);

/** The same over the vocabulary, whose last layer is the token table where they are tied: `ModernBertForMaskedLM`. */
export const vocabularyHead: HeadSpec<ModernBertConfig> = {
  ...head('MaskedLM', 'decoder', ({ main }) => main),
  trained: [],
  needs: (config, vocabSize) => {
    const own = layerNeeds('decoder', vocabSize, config.hiddenSize, config.decoderBias);
    return new Map([
      ...beforeNeeds(config),
      ...(config.tieWordEmbeddings ? own.filter(([name]) => name.endsWith('.bias')) : own),
    ]);
  },
};
