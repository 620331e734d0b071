import { type MethodFactory, positive } from '@peftjs/core';
import { eachGradient } from '@peftjs/core/collect';
import { div, minimum, mul, sqrt, sum, type Tensor } from '@peftjs/tensor';
import { chooseLargest } from './masked/choose-largest.ts';
import { defineMasked, type MaskedOptions } from './masked/define-masked.ts';

/** Options of `childTuningD`; `keep` is 0.3 by default. */
export interface ChildTuningDOptions extends MaskedOptions {
  /** The norm that each weight's gradient of a batch is clipped to before it is squared. Default 1. */
  readonly maxNorm?: number;
}

/** The square of a gradient whose norm is at most so long. */
const clippedSquare = (gradient: Tensor, longest: number): Tensor => {
  const square = mul(gradient, gradient);
  const factor = minimum(div(longest, sqrt(sum(square))), 1); // 1 where the norm is 0: longest / 0 is infinite
  return mul(square, mul(factor, factor));
};

/**
 * Child-tuning-D: W' = W + S with S zero but for the share `keep` of all weights, the child network, with the largest Fisher information, which is trained, from 0. `prepare` sums squared gradients of the
 * mean loss of each batch, each layer's clipped to the norm `maxNorm`, and chooses over all layers together. It is `fishMask` by batches instead of examples, and with a much larger share. Biases,
 * norms and embeddings are not chosen from. Merges. Throws as `fishMask`.
 * Xu et al., 2021. https://arxiv.org/abs/2109.05687. As the authors' code has it, https://github.com/alibaba/AliceMind/tree/main/ChildTuning, but for biases and norms of layers, which it chooses from too.
 */
export const childTuningD: MethodFactory<ChildTuningDOptions> = defineMasked<ChildTuningDOptions>({
  name: 'childTuningD',
  keep: 0.3,
  options: { maxNorm: positive('max_grad_norm', 1) },
  choose: (model, paths, { keep, maxNorm }, look) =>
    chooseLargest(model, paths, keep, (take) =>
      eachGradient('childTuningD', model, paths, look, take, (g) => clippedSquare(g, maxNorm)),
    ),
  peftType: 'PEFTJS_CHILD_TUNING_D',
  card: {
    about: 'a child network: the weights of most Fisher information',
    paper: {
      authors: 'Xu et al.',
      year: 2021,
      title: 'Raise a Child in Large Language Model: Towards Effective and Generalizable Fine-tuning',
      url: 'https://arxiv.org/abs/2109.05687',
    },
    learningRate: 4e-5,
    narrowRate: 3.2e-3,
  },
});
