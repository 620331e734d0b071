import { defineMethod, eachSite, flag, type MethodFactory, number, ones, rate, wholeNumber } from '@peftjs/core';
import { add, mul } from '@peftjs/tensor';
import { krona } from './krona.ts';
import { kronecker } from './kronecker.ts';

/** Options of `kronaB`. */
export interface KronaBOptions {
  /** Rows of A, which divide the hidden size d. Default 0: the divisor next to its root from above, 32 of 768. */
  readonly rows?: number;
  /** Columns of A, which divide d. Default 0: the divisor next to its root from below, 24 of 768. */
  readonly columns?: number;
  /** The factor s of the product. Default 16. */
  readonly scale?: number;
  /** Whether the input itself is added too, by a trained factor (KronA_B^res). Default false. */
  readonly residual?: boolean;
  /** Probability that an input of the product is dropped while training. Default 0. */
  readonly dropout?: number;
}

/**
 * KronA_B: a module beside the MLP of every layer, y ← MLP(x) + s·(A ⊗ B)·dropout(x), with x what the MLP is given, A [rows, columns] from
 * U(−1/√columns, 1/√columns), B [d/rows, d/columns] zero at the start. With `residual` KronA_B^res: + c·x, with c a trained
 * number that is 1 at the start, so that the function is another one from the first step on. Does not merge, as the MLP is not linear.
 * Throws `bad-option`, also when attached where sizes do not divide.
 * Edalati et al., 2022. https://arxiv.org/abs/2212.10650. Read were its abstract and a port by others, from which the default s and the first
 * values come: the authors published no code.
 */
export const kronaB: MethodFactory<KronaBOptions> = defineMethod<KronaBOptions>({
  name: 'kronaB',
  formula: {
    merges: false,
    options: {
      rows: wholeNumber('rows', 0),
      columns: wholeNumber('columns', 0),
      scale: number('scale', 16),
      residual: flag('residual', false),
      dropout: rate('krona_dropout', 0),
    },
    attach: (model, scope, options) =>
      eachSite(model, scope, 'mlp', (own, path) => {
        const d = model.widthAt(path);
        const product = kronecker('kronaB', own, path, [d, d], options);
        const c = options.residual ? own.param('krona_residual', [1], ones) : null;
        return (x, next, context) => {
          const y = add(next(x), product.apply(x, context));
          return c ? add(y, mul(x, c)) : y;
        };
      }),
  },
  files: { peftType: 'PEFTJS_KRONA_B' },
  card: {
    about: 'Kronecker products beside the MLP',
    paper: krona.paper,
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
