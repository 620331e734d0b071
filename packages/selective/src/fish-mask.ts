import { count, type MethodFactory } from '@peftjs/core';
import { eachGradient, labelledRows } from '@peftjs/core/collect';
import { mul } from '@peftjs/tensor';
import { chooseLargest } from './masked/choose-largest.ts';
import { defineMasked, type MaskedOptions } from './masked/define-masked.ts';

/** Options of `fishMask`; `keep` is 0.005 by default. */
export interface FishMaskOptions extends MaskedOptions {
  /** Examples (rows of the data) that `prepare` looks at, at most. Default 1024. */
  readonly samples?: number;
}

/**
 * FISH mask: W' = W + S where S is zero but for the share `keep` of all weights with the largest Fisher information; its entries are
 * trained, from 0. `prepare` chooses them before training, over all layers together: F = 1/N Σₙ (∂Lₙ/∂W)², squares of the gradient of one
 * example at a time with its own labels, as the authors' code does it (label-square). Biases, norms and embeddings are not chosen from.
 * Saved are k values and k places. No gradient of W is formed in a training step (`sparseMatmul`). Merges. Throws `bad-option`, and when
 * attached `bad-option` before `prepare`, `no-match`, `state-mismatch`. Sung, Nair & Raffel, 2021. https://arxiv.org/abs/2111.09839
 */
export const fishMask: MethodFactory<FishMaskOptions> = defineMasked<FishMaskOptions>({
  name: 'fishMask',
  keep: 0.005,
  options: { samples: count('samples', 1024) },
  choose: (model, paths, { keep, samples }, look) =>
    chooseLargest(model, paths, keep, (take) =>
      eachGradient(
        'fishMask',
        model,
        paths,
        { ...look, data: labelledRows('fishMask', look.data, samples) },
        take,
        (g) => mul(g, g),
      ),
    ),
  peftType: 'PEFTJS_FISH_MASK',
  names: { values: 'fish_values', index: 'fish_index' },
  card: {
    about: 'the weights of most Fisher information',
    paper: {
      authors: 'Sung, Nair & Raffel',
      year: 2021,
      title: 'Training Neural Networks with Fixed Sparse Masks',
      url: 'https://arxiv.org/abs/2111.09839',
    },
    learningRate: 2e-3,
    narrowRate: 3.2e-3,
  },
});
