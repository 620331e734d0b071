import { buildModel } from '../families/build.ts';
import type { LlamaConfig } from '../families/decoder/config.ts';
import type { CausalLM } from '../task-model.ts';
import { tinyWeights } from './tiny-weights.ts';

/** A Llama small enough for plain loops: grouped heads, and a head size that is not hidden / heads. */
export const tinyConfig: LlamaConfig = {
  modelType: 'llama',
  vocabSize: 13,
  hiddenSize: 8,
  intermediateSize: 10,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headDim: 6,
  maxPositions: 64,
  normEps: 1e-5,
  tieWordEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
  activation: 'silu',
  ropeTheta: 100,
  ropeScaling: null,
  bosId: 1,
  eosIds: [],
  padId: null,
  architectures: [],
  labels: null,
};

/** A tiny model with random weights that depend on the seed. */
export const tinyLlama = (changes: Partial<LlamaConfig> = {}, seed = 0): CausalLM =>
  buildModel({ ...tinyConfig, ...changes }, tinyWeights(seed));
