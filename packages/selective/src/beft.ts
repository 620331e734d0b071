import { defineMethod, eachLinear, familyTarget, type MethodFactory, type Target, targets, zeros } from '@peftjs/core';
import { add, reshape } from '@peftjs/tensor';

/** Options of `beft`. */
export interface BeftOptions {
  /** Default: the value projections (Llama: `v_proj`); where a fused layer makes them (GPT-2) there is none. */
  readonly target?: Target;
}

/**
 * BEFT: y = Wx + b + Δb with Δb of shape [1, out], zero at the start; by default on the value projections alone, which did best with few
 * data. `bitfit` trains every bias. Merges. Throws `bad-option`, and when attached `no-match`.
 * Huang, Balashankar & Aminifar, 2025. https://arxiv.org/abs/2509.15974
 */
export const beft: MethodFactory<BeftOptions> = defineMethod<BeftOptions>({
  name: 'beft',
  formula: {
    merges: true,
    options: { target: targets('target_modules', familyTarget('beft')) },
    attach: (model, scope, { target }) =>
      eachLinear(model, scope, target, 'beft', (base, own) => {
        const more = reshape(own.param('beft_bias', [1, base.outDim], zeros), [-1]);
        return {
          ...base,
          apply: (x, call) => add(base.apply(x, call), more),
          dense: () => {
            const { weight, bias } = base.dense();
            return { weight, bias: bias ? add(bias, more) : more };
          },
        };
      }),
  },
  files: {
    peftType: 'BEFT',
    config: () => ({ init_weights: true }),
  },
  card: {
    about: 'biases of the value projections',
    paper: {
      authors: 'Huang, Balashankar & Aminifar',
      year: 2025,
      title: 'BEFT: Bias-Efficient Fine-Tuning of Language Models in Low-Data Regimes',
      url: 'https://arxiv.org/abs/2509.15974',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
