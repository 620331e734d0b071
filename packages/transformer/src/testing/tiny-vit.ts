import type { Tensor } from '@peftjs/tensor';
import { buildModel } from '../families/build.ts';
import type { VitConfig } from '../families/vit/config.ts';
import type { TaskModel } from '../task-model.ts';
import { imageClassifier } from '../tasks/sequence-classifier.ts';
import { tinyWeights } from './tiny-weights.ts';

/** A ViT small enough for plain loops: pictures of two by three patches, and the class's row. */
export const tinyVitConfig: VitConfig = {
  modelType: 'vit',
  vocabSize: 1,
  hiddenSize: 8,
  intermediateSize: 16,
  layers: 2,
  heads: 2,
  normEps: 1e-5,
  activation: 'gelu',
  qkvBias: true,
  picture: [3, 4, 6],
  patch: [2, 2],
  maxPositions: 7,
  tieWordEmbeddings: false,
  bosId: null,
  eosIds: [],
  padId: null,
  architectures: [],
  labels: null,
};

/** A tiny ViT that tells pictures of three classes apart, with random weights that depend on the seed. */
export const tinyVit = (changes: Partial<VitConfig> = {}, seed = 0): TaskModel<Tensor> =>
  buildModel({ ...tinyVitConfig, ...changes }, tinyWeights(seed), imageClassifier({ labels: 3 }));
