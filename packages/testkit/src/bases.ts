import { int8, nf4, quantize } from '@peftjs/quant';
import type { TaskModel } from '@peftjs/transformer';
import {
  tinyBert,
  tinyBertConfig,
  tinyClip,
  tinyGpt2,
  tinyGpt2Config,
  tinyLlama,
  tinySwin,
  tinyT5,
  tinyVit,
} from '@peftjs/transformer/testing';
import type { Axes } from './selection.ts';

/** Sizes that a law may ask for. */
export interface Sizes {
  readonly layers?: number;
  readonly hiddenSize?: number;
  readonly intermediateSize?: number;
}

/** The name of an architecture. */
export type Architecture = 'llama' | 'gpt2' | 'bert' | 't5' | 'vit' | 'clip' | 'swin';

/** The width of heads that make a width that a law asks for. */
const headDim = (sizes: Sizes | undefined, heads: number): { readonly headDim?: number } =>
  sizes?.hiddenSize ? { headDim: sizes.hiddenSize / heads } : {};

/**
 * The architectures that methods are tried on: grouped heads and matrices of all shapes; fused queries, keys and values, biases and a tied head;
 * an encoder, whose task has a head of its own; two towers of unlike depth, whose blocks attend across; a tower over pictures;
 * one beside a tower of texts, whose classes are texts; one over pictures whose blocks are of unlike width.
 */
export const architectures: Readonly<Record<Architecture, (sizes?: Sizes) => TaskModel>> = {
  llama: (sizes) => tinyLlama(sizes),
  gpt2: (sizes) => tinyGpt2({ ...sizes, ...headDim(sizes, tinyGpt2Config.heads) }),
  bert: (sizes) => tinyBert({ ...sizes, ...headDim(sizes, tinyBertConfig.heads) }),
  t5: (sizes) => tinyT5(sizes),
  vit: (sizes) => tinyVit(sizes),
  clip: (sizes) => tinyClip(sizes),
  swin: () => tinySwin(),
};

/** Storage formats, each with the function that makes it of a dense model. */
export const formats: Readonly<Record<string, (model: TaskModel) => TaskModel>> = {
  dense: (model) => model,
  // Blocks that do not divide the tiny rows: the last of each row is filled up.
  int8: (model) => quantize(model, int8()),
  nf4: (model) => quantize(model, nf4({ blockSize: 6 })),
};

/** The architectures over texts, which every method must work on, or refuse. */
const texts: readonly Architecture[] = ['llama', 'gpt2', 'bert', 't5'];

/** The architectures over pictures: each method over texts is tried on one of them. */
export const pictures: readonly [Architecture, ...Architecture[]] = ['vit', 'clip', 'swin'];

/** The names of both, in the order in which tests take them: all laws are tried on the first architecture. */
export const axesOf = (families: readonly Architecture[] = texts): Axes => ({
  families,
  formats: Object.keys(formats),
  packed: 'nf4',
});
