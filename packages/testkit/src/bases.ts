import { int8, nf4, quantize } from '@peftjs/quant';
import type { CausalLM } from '@peftjs/transformer';
import { tinyGpt2, tinyGpt2Config, tinyLlama } from '@peftjs/transformer/testing';

/** Sizes that a law may ask for. */
export interface Sizes {
  readonly layers?: number;
  readonly hiddenSize?: number;
  readonly intermediateSize?: number;
}

/** The architectures that every method must work on: grouped heads and matrices of all shapes; fused queries, keys and values, biases and a tied head. */
export const architectures: Readonly<Record<'llama' | 'gpt2', (sizes?: Sizes) => CausalLM>> = {
  llama: (sizes) => tinyLlama(sizes),
  gpt2: (sizes) =>
    tinyGpt2({ ...sizes, ...(sizes?.hiddenSize && { headDim: sizes.hiddenSize / tinyGpt2Config.heads }) }),
};

/** How a base model stores its layers, by what makes it of a dense one. */
export const formats: Readonly<Record<string, (model: CausalLM) => CausalLM>> = {
  dense: (model) => model,
  // Blocks that do not divide the tiny rows: the last of each row is filled up.
  int8: (model) => quantize(model, int8()),
  nf4: (model) => quantize(model, nf4({ blockSize: 6 })),
};
