import { checkOptions, mustBe, sum } from '@peftjs/tensor';
import type { Objective } from '../objective.ts';

/**
 * Label smoothing of a language model: (1 − ε)·(−log p(label)) + ε·mean over the vocabulary of −log p, over the labelled tokens; ε (`smoothing`) default 0.1. As
 * transformers' `LabelSmoother` computes it; classifiers have the option `labelSmoothing`. Throws `bad-option`. Szegedy et al., 2015. https://arxiv.org/abs/1512.00567
 */
export const labelSmoothing = (options: { readonly smoothing?: number } = {}): Objective => {
  checkOptions('labelSmoothing', { smoothing: mustBe.rate }, options);
  const { smoothing = 0.1 } = options;
  return (views, inputs) => {
    const { losses, counted } = views.train().run(inputs).labelLosses({ smoothing });
    return { sum: sum(losses), weight: sum(counted) };
  };
};
