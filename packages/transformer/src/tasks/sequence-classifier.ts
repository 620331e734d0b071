import {
  abs,
  add,
  constant,
  exp,
  log,
  maximum,
  mean,
  mul,
  neg,
  PeftError,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Loss } from '../loss.ts';
import { type ClassLossOptions, classLoss, weighsClasses } from './class-losses.ts';
import { labelNames } from './label-names.ts';
import { labelsOf } from './labels-of.ts';
import type { Predicts, Task, TaskType } from './task.ts';

/** How an example's classes are meant. */
export type Problem = 'single-label' | 'multi-label' | 'regression';

/** Options of `sequenceClassifier` and `imageClassifier`. */
export interface ClassifierOptions extends ClassLossOptions {
  /** How many outputs, or their names. */
  readonly labels: number | readonly string[];
  /** One class of several, any number of them, or numbers. Default `single-label`. */
  readonly problem?: Problem;
}

/** Over the rows: the loss of each is a mean over its outputs, as torch's BCEWithLogitsLoss and MSELoss have it. */
const ofRows = (losses: Tensor): Loss => ({
  sum: sum(mean(losses, { axes: [1] })),
  weight: constant(Float32Array.of(losses.shape[0]!), []),
});

const predictions: Readonly<Record<Problem, Predicts>> = {
  'single-label': 'classes',
  'multi-label': 'label sets',
  regression: 'numbers',
};

const losses: { readonly [P in Problem]: (logits: Tensor, labels: Tensor, options: ClassLossOptions) => Loss } = {
  'single-label': (logits, labels, options) => classLoss(logits, labels, -100, options),
  // max(z, 0) − z·y + log(1 + e^(−|z|)), which never overflows.
  'multi-label': (z, y) => ofRows(add(sub(maximum(z, 0), mul(z, y)), log(add(exp(neg(abs(z))), 1)))),
  regression: (y, wanted) => {
    const d = sub(y, wanted);
    return ofRows(mul(d, d));
  },
};

/** A task whose head gives one row of logits for each example. */
const classifier = (
  name: 'sequenceClassifier' | 'imageClassifier',
  type: TaskType | null,
  { labels: given, problem = 'single-label', ...options }: ClassifierOptions,
): Task<Tensor> => {
  const labels = labelNames(name, given);
  if (!Object.hasOwn(losses, problem))
    throw new PeftError(
      'bad-option',
      `${name}: problem must be one of ${Object.keys(losses).join(', ')}, got ${problem}`,
    );
  if (weighsClasses(name, labels.length, options) && problem !== 'single-label')
    throw new PeftError(
      'bad-option',
      `${name}: classWeights, focus and labelSmoothing are for the problem single-label, not for ${problem}; leave them out`,
    );
  const shape = problem === 'single-label' ? [] : [labels.length];
  const dtype = problem === 'single-label' ? 'i32' : 'f32';
  return {
    name,
    type,
    head: name,
    labels,
    columns: { labels: { shape, dtype } },
    predicts: predictions[problem],
    outputs: ({ layer, features, call }) => layer.apply(features, call),
    loss: ({ layer, features, call }, inputs) => {
      const logits = layer.apply(features, call);
      return losses[problem](logits, labelsOf(name, inputs, [logits.shape[0]!, ...shape], dtype), options);
    },
  };
};

/**
 * Classifying whole texts. Outputs: logits [batch, labels]. The loss is a sum over texts, by `problem`:
 * `single-label` cross-entropy in nats, or one that weighs classes, `labels` i32 [batch], −100 for none; `multi-label` binary cross-entropy, a mean over the labels,
 * `labels` f32 [batch, labels] of 0 and 1; `regression` squared error, a mean over the outputs, `labels` f32 [batch, labels].
 * The head is trained beside every method, and saved with its adapter. Throws `bad-option`.
 */
export const sequenceClassifier = (options: ClassifierOptions): Task<Tensor> =>
  classifier('sequenceClassifier', 'SEQ_CLS', options);

/**
 * Classifying pictures: as `sequenceClassifier`, of towers that read `pixels`. Hugging Face PEFT has no name for the task, and notes the head in
 * `modules_to_save`.
 */
export const imageClassifier = (options: ClassifierOptions): Task<Tensor> =>
  classifier('imageClassifier', null, options);
