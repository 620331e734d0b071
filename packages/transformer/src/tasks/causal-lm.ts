import type { Tensor } from '@peftjs/tensor';
import { headLoss, lossesByLabel } from './head-loss.ts';
import { labelsOf } from './labels-of.ts';
import type { Task, TaskType } from './task.ts';

/** Options of the language modelling tasks. */
export interface LanguageModelOptions {
  /** The label of positions that do not count. Default −100. */
  readonly ignoreIndex?: number;
}

const languageModel = (
  name: 'causalLM' | 'seq2seqLM' | 'maskedLM',
  type: TaskType | null,
  { ignoreIndex = -100 }: LanguageModelOptions,
): Task<Tensor> => ({
  name,
  type,
  head: name,
  labels: null,
  ignoreIndex,
  columns: { labels: { shape: ['tokens'], dtype: 'i32' } },
  outputs: ({ layer, features, call }) => layer.apply(features, call),
  loss: ({ layer, features, call }, inputs) =>
    headLoss(layer, features, labelsOf(name, inputs, features.shape.slice(0, 2)), ignoreIndex, call),
  labelLosses: ({ layer, features, call }, inputs, options) =>
    lossesByLabel(layer, features, labelsOf(name, inputs, features.shape.slice(0, 2)), ignoreIndex, call, options),
});

/**
 * Predicting the next token. Outputs: logits [batch, tokens, vocabulary]. Loss: cross-entropy in nats, summed over the labelled positions;
 * `labels` i32 [batch, tokens]: `labels[b][t]` is the token to predict after `ids[b][t]` (so already shifted by one), or `ignoreIndex`.
 */
export const causalLM = (options: LanguageModelOptions = {}): Task<Tensor> =>
  languageModel('causalLM', 'CAUSAL_LM', options);

/**
 * Writing a text that answers another, by an encoder and a decoder. Outputs: logits [batch, targets, vocabulary]. Loss: cross-entropy in nats,
 * summed over the labelled positions; `labels` i32 [batch, targets]: the token to predict after `decoderIds[b][t]`, or `ignoreIndex`.
 */
export const seq2seqLM = (options: LanguageModelOptions = {}): Task<Tensor> =>
  languageModel('seq2seqLM', 'SEQ_2_SEQ_LM', options);

/**
 * Filling in hidden tokens. Outputs: logits [batch, tokens, vocabulary]. Loss: cross-entropy in nats, summed over the labelled positions;
 * `labels` i32 [batch, tokens]: the token that stood there, or `ignoreIndex`.
 */
export const maskedLM = (options: LanguageModelOptions = {}): Task<Tensor> => languageModel('maskedLM', null, options);
