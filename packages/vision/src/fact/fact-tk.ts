import { defineMethod, glorotUniform, type MethodFactory, uniform } from '@peftjs/core';
import { matmul, reshape, slice, transpose } from '@peftjs/tensor';
import { factPaper } from './fact-paper.ts';
import { factored } from './factored.ts';
import { type FactOptions, factOptions } from './options.ts';

/**
 * FacT in Tucker's form: as `factTt`, but the Σ of all squares come of one core C [r, r, r] and a column of P [r, squares] each, T = C·P [r, r, squares]: Σ of a square layer is its slice of T, transposed; those of a
 * layer of several squares are the values of its slices [r, r, n] as a matrix [r, n · r], transposed where the squares are above each other, as the authors take them. C is from U(−√3 / r, √3 / r), P from U(−√(6 / (r + squares)), √(6 / (r + squares))), U from
 * U(−1/√d, 1/√d), V zero. Merges. Throws as `factTt`.
 * Jie & Deng, 2022. https://arxiv.org/abs/2212.03145, https://github.com/JieShibo/PETL-ViT
 */
export const factTk: MethodFactory<FactOptions> = defineMethod<FactOptions>({
  name: 'factTk',
  formula: {
    merges: true,
    options: factOptions,
    attach: (model, scope, chosen) =>
      factored(model, scope, chosen, 'factTk', (squares) => {
        const { rank } = chosen;
        const core = scope.param('FacTc', [rank, rank, rank], uniform(Math.sqrt(3) / rank));
        const weights = scope.param('FacTp', [rank, squares], glorotUniform());
        return (_, { first, high, wide }) => {
          const count = high * wide;
          const own = matmul(core, slice(weights, { axis: 1, start: first, end: first + count })); // [r, r, count]
          const flat = reshape(own, [rank, count * rank]);
          return wide > 1 ? flat : transpose(flat, [1, 0]);
        };
      }),
  },
  files: { peftType: 'PEFTJS_FACT_TK' },
  card: { about: 'updates of all layers as a Tucker product', paper: factPaper, learningRate: 1e-3 },
});
