import { int8, nf4, quantize } from '@peftjs/quant';
import type { CausalLM } from '@peftjs/transformer';
import { tinyGpt2, tinyGpt2Config, tinyLlama } from '@peftjs/transformer/testing';
import type { Axes } from './selection.ts';

/** Sizes that a law may ask for. */
export interface Sizes {
  readonly layers?: number;
  readonly hiddenSize?: number;
  readonly intermediateSize?: number;
}

/** The name of an architecture. */
export type Architecture = 'llama' | 'gpt2';

/** The architectures that every method must work on: grouped heads and matrices of all shapes; fused queries, keys and values, biases and a tied head. */
export const architectures: Readonly<Record<Architecture, (sizes?: Sizes) => CausalLM>> = {
  llama: (sizes) => tinyLlama(sizes),
  gpt2: (sizes) =>
    tinyGpt2({ ...sizes, ...(sizes?.hiddenSize && { headDim: sizes.hiddenSize / tinyGpt2Config.heads }) }),
};

/** Storage formats, each with the function that makes it of a dense model. */
export const formats: Readonly<Record<string, (model: CausalLM) => CausalLM>> = {
  dense: (model) => model,
  // Blocks that do not divide the tiny rows: the last of each row is filled up.
  int8: (model) => quantize(model, int8()),
  nf4: (model) => quantize(model, nf4({ blockSize: 6 })),
};

/** The names of both, in the order in which tests take them. */
export const axes: Axes = { families: Object.keys(architectures), formats: Object.keys(formats), packed: 'nf4' };
