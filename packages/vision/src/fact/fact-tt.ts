import { defineMethod, kaimingUniform, type MethodFactory } from '@peftjs/core';
import { factPaper } from './fact-paper.ts';
import { factored } from './factored.ts';
import { type FactOptions, factOptions } from './options.ts';

/**
 * FacT in the form of a tensor train: the updates of all layers, squares [d, d] above or beside each other, are s·V·Σ·U with U [r, d] and V [d, r] shared by all and Σ [r, r] of each square. A layer's Σ are one matrix,
 * [out / d · r, in / d · r], from U(−1/√n, 1/√n) for its n columns; U is from U(−1/√d, 1/√d), V zero at the start. Nothing of shape [out, in] is formed. Works on texts too, where sizes are multiples of the width d. Merges. Throws `bad-option`, also
 * when attached to layers of other sizes, and then `no-match`.
 * Jie & Deng, 2022. https://arxiv.org/abs/2212.03145, https://github.com/JieShibo/PETL-ViT
 */
export const factTt: MethodFactory<FactOptions> = defineMethod<FactOptions>({
  name: 'factTt',
  formula: {
    merges: true,
    options: factOptions,
    attach: (model, scope, chosen) =>
      factored(
        model,
        scope,
        chosen,
        'factTt',
        () =>
          (own, { high, wide }) =>
            own.param('FacTs', [high * chosen.rank, wide * chosen.rank], kaimingUniform),
      ),
  },
  files: { peftType: 'PEFTJS_FACT_TT' },
  card: { about: 'updates of all layers as a tensor train', paper: factPaper, learningRate: 1e-3 },
});
