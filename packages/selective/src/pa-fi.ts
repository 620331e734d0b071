import type { MethodFactory } from '@peftjs/core';
import { evaluate } from '@peftjs/tensor';
import { chooseLargest } from './masked/choose-largest.ts';
import { defineMasked, type MaskedOptions } from './masked/define-masked.ts';

/**
 * PaFi: W' = W + S with S zero but for the share `keep` (default 0.005) of all weights that have the smallest magnitudes; its entries are trained, from 0. `prepare` chooses them by the weights alone,
 * over all layers together, so that all tasks of a base have the same places: give it `data: []`. Biases, norms and embeddings are not chosen from. Merges. Throws as `fishMask`.
 * Liao, Meng & Monz, 2023. https://arxiv.org/abs/2305.16742. Its abstract and summaries were read; the code is not public any more.
 */
export const paFi: MethodFactory<MaskedOptions> = defineMasked<MaskedOptions>({
  name: 'paFi',
  keep: 0.005,
  options: {},
  needsData: false,
  choose: (model, paths, { keep }, { executor }) =>
    chooseLargest(model, paths, keep, async (take) => {
      for (const path of paths) {
        const { weight } = await evaluate({ weight: model.linears.get(path)!.dense().weight }, { executor });
        take(
          path,
          Float32Array.from(weight!, (w) => -Math.abs(w)),
        );
      }
    }),
  peftType: 'PEFTJS_PAFI',
  card: {
    about: 'the weights of least magnitude',
    paper: {
      authors: 'Liao, Meng & Monz',
      year: 2023,
      title: 'Parameter-Efficient Fine-Tuning without Introducing New Latency',
      url: 'https://arxiv.org/abs/2305.16742',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
