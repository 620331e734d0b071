import {
  type BiasChoice,
  biases,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodFactory,
  number,
  rate,
  type Target,
  targets,
  wholeNumber,
} from '@peftjs/core';
import { addDelta } from '../add-delta.ts';
import { kronecker } from './kronecker.ts';

/** Options of `krona`. */
export interface KronaOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Rows of A, which divide the outputs of every layer. Default 0: the divisor next to their root from above, 32 of 768. */
  readonly rows?: number;
  /** Columns of A, which divide the inputs of every layer. Default 0: the divisor next to their root from below, 24 of 768. */
  readonly columns?: number;
  /** The update's factor s. Default 16. */
  readonly scale?: number;
  /** Probability that an input of the update is dropped while training. Default 0. */
  readonly dropout?: number;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * KronA: y = Wx + s·(A ⊗ B)·dropout(x), A [rows, columns] from U(−1/√columns, 1/√columns), B [out/rows, in/columns] zero at the start. The
 * update has full rank. Nothing of shape [out, in] is formed in a training step: x is taken as rows of in/columns values. Merges. Throws
 * `bad-option`, and when attached `no-match`, or `bad-option` for sizes that do not divide. The delta is that of `lokr` with whole factors.
 * Edalati et al., 2022. https://arxiv.org/abs/2212.10650. Read were its abstract and a port by others, from which the default s, A's shape
 * and first values come: the authors published no code.
 */
export const krona: MethodFactory<KronaOptions> = defineMethod<KronaOptions>({
  name: 'krona',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      rows: wholeNumber('rows', 0),
      columns: wholeNumber('columns', 0),
      scale: number('scale', 16),
      dropout: rate('krona_dropout', 0),
      bias: biases('krona'),
    },
    attach: (model, scope, options) =>
      eachLinear(model, scope, options.target, 'krona', (base, own, path) =>
        addDelta(base, kronecker('krona', own, path, [base.outDim, base.inDim], options)),
      ),
  },
  files: { peftType: 'PEFTJS_KRONA' },
  card: {
    about: 'Kronecker products of two matrices',
    paper: {
      authors: 'Edalati et al.',
      year: 2022,
      title: 'KronA: Parameter Efficient Tuning with Kronecker Adapter',
      url: 'https://arxiv.org/abs/2212.10650',
    },
    learningRate: 1e-3,
  },
});
