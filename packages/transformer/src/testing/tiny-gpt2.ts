import { buildModel } from '../families/build.ts';
import type { Gpt2Config } from '../families/gpt2/config.ts';
import type { CausalLM } from '../task-model.ts';
import { tinyWeights } from './tiny-weights.ts';

/** A GPT-2 small enough for plain loops, with a tied head, and an MLP that is not four times as wide. */
export const tinyGpt2Config: Gpt2Config = {
  modelType: 'gpt2',
  vocabSize: 13,
  hiddenSize: 8,
  intermediateSize: 10,
  layers: 2,
  heads: 2,
  headDim: 4,
  maxPositions: 64,
  normEps: 1e-5,
  tieWordEmbeddings: true,
  activation: 'gelu-tanh',
  bosId: 1,
  eosIds: [],
  padId: null,
  architectures: [],
  labels: null,
};

/** A tiny GPT-2 with random weights that depend on the seed. */
export const tinyGpt2 = (changes: Partial<Gpt2Config> = {}, seed = 0): CausalLM =>
  buildModel({ ...tinyGpt2Config, ...changes }, tinyWeights(seed));
