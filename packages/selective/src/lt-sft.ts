import { count, type MethodFactory, number, penalty, positive } from '@peftjs/core';
import { abs, add, mul, sizeOf, sum, type Tensor } from '@peftjs/tensor';
import { chooseLargest } from './masked/choose-largest.ts';
import { defineMasked, type MaskedOptions } from './masked/define-masked.ts';
import { eachChange } from './masked/each-change.ts';

/** Options of `ltSft`; `keep` is 0.01 by default. */
export interface LtSftOptions extends MaskedOptions {
  /** Steps of tuning all of those weights, by which `prepare` chooses. Default 100. */
  readonly steps?: number;
  /** AdamW's rate in the first of these steps; it falls to 0 evenly. Default 5e-5. */
  readonly learningRate?: number;
  /** λ of the penalty λ·Σ|S| / k on the k trained values. Default 0. */
  readonly l1?: number;
}

/**
 * LT-SFT: W' = W + S with S zero but for the share `keep` of all weights that change most when all are tuned for a time. `prepare` tunes them, chooses those with the largest |W₁ − W|, over all
 * layers together, and rewinds; they are then trained alone, from 0. Of several adapters, a language's and a task's, S is added: `attach(base, [language, task])`. Biases, norms and embeddings
 * are not chosen from. λ is a penalty towards the base. Merges. Throws as `fishMask`, and when prepared `diverged`.
 * Ansell, Ponti, Korhonen & Vulić, 2021. https://arxiv.org/abs/2110.07560. As the authors' code has it, https://github.com/cambridgeltl/composable-sft, but that the penalty is divided by the number of
 * values that are trained, not by that of the whole model.
 */
export const ltSft: MethodFactory<LtSftOptions> = defineMasked<LtSftOptions>({
  name: 'ltSft',
  keep: 0.01,
  options: {
    steps: count('full_ft_steps', 100),
    learningRate: positive('full_ft_learning_rate', 5e-5),
    l1: number('sparse_l1_reg', 0),
  },
  choose: (model, paths, { keep, ...time }, look) =>
    chooseLargest(model, paths, keep, (take) =>
      eachChange('ltSft', model, paths, look, time, (path, change) => take(path, change.map(Math.abs))),
    ),
  beside: (values, { l1 }) =>
    l1 === 0
      ? {}
      : {
          objective: penalty(() => {
            const all = [...values.values()];
            const entries = all.reduce((n, { shape }) => n + sizeOf(shape), 0);
            return mul(
              all.map((v): Tensor => sum(abs(v))).reduce((a, b) => add(a, b)),
              l1 / entries,
            );
          }),
        },
  peftType: 'PEFTJS_LT_SFT',
  card: {
    about: 'the weights that change most when all are tuned for a time',
    paper: {
      authors: 'Ansell et al.',
      year: 2021,
      title: 'Composable Sparse Fine-Tuning for Cross-Lingual Transfer',
      url: 'https://arxiv.org/abs/2110.07560',
    },
    learningRate: 5e-5,
    narrowRate: 3e-2,
  },
});
