import { normalValues, randomSource, sizeOf } from '@peftjs/tensor';
import { buildModel } from '../architectures.ts';
import type { CausalLM } from '../causal-lm.ts';
import type { WeightSource } from '../weights.ts';

type Config = CausalLM['config'] & { readonly modelType: 'gpt2' };

/** A GPT-2 small enough for plain loops, with a tied head, and an MLP that is not four times as wide. */
export const tinyGpt2Config: Config = {
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
};

/** Weights large enough for every part to matter, biases too, all different. */
const weights = (seed: number): WeightSource => ({
  has: () => true,
  load: (name, shape) => () => {
    const noise = normalValues(sizeOf(shape), 0.4, randomSource(seed, name));
    return /\.ln_\w+\.weight$/.test(name) ? noise.map((v) => 1 + v) : noise;
  },
});

/** A tiny GPT-2 with random weights that depend on the seed. */
export const tinyGpt2 = (changes: Partial<Config> = {}, seed = 0): CausalLM =>
  buildModel({ ...tinyGpt2Config, ...changes }, weights(seed));
