import type { Gpt2Config, LlamaConfig } from '@peftjs/io';
import { normalValues, randomSource, type Shape, sizeOf } from '@peftjs/tensor';
import type { WeightSource } from '../src/index.ts';

/** A Llama small enough for plain loops: grouped heads, and a head size that is not hidden / heads. */
export const tinyConfig = (changes: Partial<LlamaConfig> = {}): LlamaConfig => ({
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
  ...changes,
});

/** A GPT-2 small enough for plain loops: its own head, and an MLP that is not four times as wide. */
export const tinyGpt2Config = (changes: Partial<Gpt2Config> = {}): Gpt2Config => ({
  modelType: 'gpt2',
  vocabSize: 13,
  hiddenSize: 8,
  intermediateSize: 10,
  layers: 2,
  heads: 2,
  headDim: 4,
  maxPositions: 64,
  normEps: 1e-5,
  tieWordEmbeddings: false,
  activation: 'gelu-tanh',
  bosId: 1,
  eosIds: [],
  padId: null,
  ...changes,
});

const valuesOf = (name: string, shape: Shape, seed: number): Float32Array => {
  const noise = normalValues(sizeOf(shape), 0.4, randomSource(seed, name));
  return /norm|\.ln_\w+\.weight$/.test(name) ? noise.map((v) => 1 + v) : noise;
};

/** Weights large enough for every part to matter, and the values that were handed out. */
export const tinyWeights = (seed = 0): WeightSource & { readonly values: Map<string, Float32Array> } => {
  const values = new Map<string, Float32Array>();
  return {
    values,
    has: () => true,
    load: (name, shape) => {
      values.set(name, valuesOf(name, shape, seed));
      return values.get(name)!;
    },
  };
};
