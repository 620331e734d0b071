import type { Gpt2Config, LlamaConfig, WeightSource } from '../src/index.ts';
import { tinyGpt2Config as gpt2, tinyConfig as llama } from '../src/testing/index.ts';
import { tinyValues } from '../src/testing/tiny-weights.ts';

/** A Llama small enough for plain loops: grouped heads, and a head size that is not hidden / heads. */
export const tinyConfig = (changes: Partial<LlamaConfig> = {}): LlamaConfig => ({ ...llama, ...changes });

/** A GPT-2 small enough for plain loops: its own head, and an MLP that is not four times as wide. */
export const tinyGpt2Config = (changes: Partial<Gpt2Config> = {}): Gpt2Config => ({
  ...gpt2,
  tieWordEmbeddings: false,
  ...changes,
});

/** Weights large enough for every part to matter, and the values that were handed out. */
export const tinyWeights = (seed = 0): WeightSource & { readonly values: Map<string, Float32Array> } => {
  const values = new Map<string, Float32Array>();
  return {
    values,
    has: () => true,
    load: (name, shape) => {
      values.set(name, tinyValues(name, shape, seed));
      return values.get(name)!;
    },
  };
};
