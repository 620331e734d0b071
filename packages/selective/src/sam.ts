import type { MethodFactory } from '@peftjs/core';
import { eachGradient } from '@peftjs/core/collect';
import { chooseInEach } from './masked/choose-largest.ts';
import { defineMasked, type MaskedOptions } from './masked/define-masked.ts';

/**
 * SAM, the second-order approximation method: W' = W + S with S zero but for the share `keep` (default 0.005) of each layer's weights that lessen the loss most, which are trained, from 0. A weight
 * lessens it by g²/(2h) with gradient g and curvature h; h is taken to be the same everywhere, so that `prepare` chooses the largest |Σ g| over batches, of each layer by itself. Biases, norms and
 * embeddings are not chosen from. Merges. Throws as `fishMask`.
 * Fu et al., 2022. https://arxiv.org/abs/2211.15583. As the authors' code runs by its script, https://github.com/fuzihaofzh/AnalyzeParameterEfficientFinetune, which sums gradients of 600 steps.
 */
export const sam: MethodFactory<MaskedOptions> = defineMasked<MaskedOptions>({
  name: 'sam',
  keep: 0.005,
  options: {},
  choose: (model, paths, { keep }, look) =>
    chooseInEach(keep, (take) => eachGradient('sam', model, paths, look, (path, sum) => take(path, sum.map(Math.abs)))),
  peftType: 'PEFTJS_SAM',
  card: {
    about: 'the weights of the largest gradients in each layer',
    paper: {
      authors: 'Fu et al.',
      year: 2022,
      title: 'On the Effectiveness of Parameter-Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2211.15583',
    },
    learningRate: 1e-4,
    narrowRate: 1e-2,
  },
});
