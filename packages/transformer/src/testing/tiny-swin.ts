import type { Tensor } from '@peftjs/tensor';
import { buildModel } from '../families/build.ts';
import type { SwinConfig } from '../families/swin/config.ts';
import type { TaskModel } from '../task-model.ts';
import { imageClassifier } from '../tasks/sequence-classifier.ts';
import { tinyWeights } from './tiny-weights.ts';

/** A Swin small enough for plain loops: three by four patches, then two by two of twice the width; windows of two, moved in the second block. */
export const tinySwinConfig: SwinConfig = {
  modelType: 'swin',
  vocabSize: 1,
  hiddenSize: 8,
  embedSize: 4,
  depths: [2, 1],
  heads: [1, 2],
  layers: 3,
  window: 2,
  mlpRatio: 2,
  normEps: 1e-5,
  activation: 'gelu',
  qkvBias: true,
  positions: false,
  picture: [3, 6, 8],
  patch: [2, 2],
  maxPositions: 12,
  tieWordEmbeddings: false,
  bosId: null,
  eosIds: [],
  padId: null,
  architectures: [],
  labels: null,
};

/** A tiny Swin that tells pictures of three classes apart, with random weights that depend on the seed. */
export const tinySwin = (changes: Partial<SwinConfig> = {}, seed = 0): TaskModel<Tensor> =>
  buildModel({ ...tinySwinConfig, ...changes }, tinyWeights(seed), imageClassifier({ labels: 3 }));
