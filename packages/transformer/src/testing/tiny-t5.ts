import { buildModel } from '../families/build.ts';
import type { T5Config } from '../families/t5/config.ts';
import type { TaskModel } from '../task-model.ts';
import { seq2seqLM } from '../tasks/causal-lm.ts';
import { tinyWeights } from './tiny-weights.ts';

/** A T5 small enough for plain loops: unlike numbers of blocks, a head size that is not hidden / heads, a tied head, a gated MLP. */
export const tinyT5Config: T5Config = {
  modelType: 't5',
  vocabSize: 13,
  hiddenSize: 8,
  intermediateSize: 10,
  layers: 2,
  encoderLayers: 1,
  heads: 2,
  headDim: 6,
  maxPositions: Number.POSITIVE_INFINITY,
  buckets: 8,
  maxDistance: 12,
  normEps: 1e-5,
  tieWordEmbeddings: true,
  scaledHead: true,
  activation: 'gelu-tanh',
  gated: true,
  decoderStartId: 0,
  bosId: null,
  eosIds: [],
  padId: 0,
  architectures: [],
  labels: null,
};

/** A tiny T5 that predicts a text from another, with random weights that depend on the seed. */
export const tinyT5 = (changes: Partial<T5Config> = {}, seed = 0): TaskModel =>
  buildModel({ ...tinyT5Config, ...changes }, tinyWeights(seed), seq2seqLM());
