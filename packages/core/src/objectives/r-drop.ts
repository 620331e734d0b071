import { PeftError } from '@peftjs/tensor';
import { addLosses } from '@peftjs/transformer';
import type { Objective } from '../objective.ts';
import { divergence } from './divergence.ts';

/**
 * R-Drop: two passes of the training view, each with dropout of its own, should say the same. L = L₁ + L₂ + α/2·(KL(p₁‖p₂) + KL(p₂‖p₁)), the
 * means over what is labelled; α (`weight`) default 1. Throws `bad-option`. Liang et al., 2021. https://arxiv.org/abs/2106.14448
 */
export const rDrop = ({ weight = 1 }: { readonly weight?: number } = {}): Objective => {
  if (!(weight >= 0 && weight < Infinity))
    throw new PeftError('bad-option', `rDrop: weight must be a number of at least 0, got ${weight}`);
  return (views, inputs) => {
    const [a, b] = [views.train().run(inputs), views.train().run(inputs)];
    const [p, q] = [a.outputs(), b.outputs()];
    const both = addLosses(a.loss(), b.loss());
    const apart = addLosses(divergence('rDrop', p, q, inputs), divergence('rDrop', q, p, inputs));
    return addLosses(both, apart, weight / 2);
  };
};
