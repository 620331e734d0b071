import { normalValues, randomSource, sizeOf } from '@peftjs/tensor';
import { buildModel } from '../architectures.ts';
import type { CausalLM } from '../causal-lm.ts';
import type { WeightSource } from '../weights.ts';

type Config = CausalLM['config'] & { readonly modelType: 'llama' };

/** A Llama small enough for plain loops: grouped heads, and a head size that is not hidden / heads. */
export const tinyConfig: Config = {
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
};

/** Weights large enough for every part to matter, all different. */
const weights = (seed: number): WeightSource => ({
  has: () => true,
  load: (name, shape) => () => {
    const noise = normalValues(sizeOf(shape), 0.4, randomSource(seed, name));
    return name.includes('norm') ? noise.map((v) => 1 + v) : noise;
  },
});

/** A tiny model with random weights that depend on the seed. */
export const tinyLlama = (changes: Partial<Config> = {}, seed = 0): CausalLM =>
  buildModel({ ...tinyConfig, ...changes }, weights(seed));
