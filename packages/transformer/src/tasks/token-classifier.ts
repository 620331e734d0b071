import { reshape, type Tensor } from '@peftjs/tensor';
import { type ClassLossOptions, classLoss, weighsClasses } from './class-losses.ts';
import { headLoss } from './head-loss.ts';
import { labelNames } from './label-names.ts';
import { labelsOf } from './labels-of.ts';
import type { Task } from './task.ts';

/** Options of `tokenClassifier`. */
export interface TokenClassifierOptions extends ClassLossOptions {
  /** How many classes, or their names. */
  readonly labels: number | readonly string[];
  /** The label of tokens that do not count. Default −100. */
  readonly ignoreIndex?: number;
}

/**
 * Classifying tokens: names, parts of speech. Outputs: logits [batch, tokens, labels]. Loss: cross-entropy in nats, or one that weighs classes, summed over the labelled
 * tokens; `labels` i32 [batch, tokens], `ignoreIndex` for none. The head is trained beside every method, and saved with its adapter. Throws
 * `bad-option`.
 */
export const tokenClassifier = ({
  labels: given,
  ignoreIndex = -100,
  ...options
}: TokenClassifierOptions): Task<Tensor> => {
  const name = 'tokenClassifier';
  const labels = labelNames(name, given);
  const weighs = weighsClasses(name, labels.length, options);
  return {
    name,
    type: 'TOKEN_CLS',
    head: name,
    labels,
    columns: { labels: { shape: ['tokens'], dtype: 'i32' } },
    ignoreIndex,
    predicts: 'tags',
    outputs: ({ layer, features, call }) => layer.apply(features, call),
    loss: ({ layer, features, call }, inputs) => {
      const of = labelsOf(name, inputs, features.shape.slice(0, 2));
      if (!weighs) return headLoss(layer, features, of, ignoreIndex, call);
      const logits = reshape(layer.apply(features, call), [-1, labels.length]);
      return classLoss(logits, reshape(of, [-1]), ignoreIndex, options);
    },
  };
};
