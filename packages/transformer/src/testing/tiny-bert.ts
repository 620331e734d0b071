import type { Tensor } from '@peftjs/tensor';
import { buildModel } from '../families/build.ts';
import type { BertConfig } from '../families/encoder/config.ts';
import type { TaskModel } from '../task-model.ts';
import { sequenceClassifier } from '../tasks/sequence-classifier.ts';
import type { Task } from '../tasks/task.ts';
import { tinyWeights } from './tiny-weights.ts';

/** A BERT small enough for plain loops. */
export const tinyBertConfig: BertConfig = {
  modelType: 'bert',
  vocabSize: 13,
  hiddenSize: 8,
  intermediateSize: 10,
  layers: 2,
  heads: 2,
  headDim: 4,
  maxPositions: 64,
  tokenTypes: 2,
  normEps: 1e-5,
  tieWordEmbeddings: true,
  activation: 'gelu',
  bosId: null,
  eosIds: [],
  padId: 0,
  architectures: [],
  labels: null,
};

/** A tiny BERT with a task, by default that of telling texts of three classes apart, and random weights that depend on the seed. */
export const tinyBert = <Out = Tensor>(
  changes: Partial<BertConfig> = {},
  seed = 0,
  task: Task<Out> = sequenceClassifier({ labels: 3 }) as unknown as Task<Out>,
): TaskModel<Out> => buildModel({ ...tinyBertConfig, ...changes }, tinyWeights(seed), task);
