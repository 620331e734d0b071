import { defineMethod, eachNorm, type MethodFactory, type Target, targets, trainedNorm } from '@peftjs/core';
import type { Model } from '@peftjs/transformer';

/** Options of `layerNormTuning`. */
export interface LayerNormTuningOptions {
  /** Which norms. Default: all of them. */
  readonly target?: Target;
}

/** Names of the norms, their layers' numbers left out: `input_layernorm`, `norm`. */
const namesOf = (paths: Iterable<string>): string[] => [
  ...new Set([...paths].map((path) => path.slice(path.lastIndexOf('.') + 1))),
];

/**
 * Norm tuning: the weights and biases of the norms are trained, from the base's values; everything else is frozen. Merges. Throws
 * `bad-option`, and when attached `no-match`. Zhao et al., 2023. https://arxiv.org/abs/2312.11420
 */
export const layerNormTuning: MethodFactory<LayerNormTuningOptions> = defineMethod<LayerNormTuningOptions>({
  name: 'layerNormTuning',
  formula: {
    merges: true,
    options: {
      target: targets(
        'target_modules',
        (model: Model) => namesOf(model.norms.keys()),
        (model) => model.norms.keys(),
      ),
    },
    attach: (model, scope, { target }) =>
      eachNorm(model, scope, target, 'layerNormTuning', (base, own) => trainedNorm(base, own, 'ln_tuning_layers.')),
  },
  files: {
    peftType: 'LN_TUNING',
  },
  card: {
    about: 'weights and biases of the norms',
    paper: {
      authors: 'Zhao et al.',
      year: 2023,
      title: 'Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning',
      url: 'https://arxiv.org/abs/2312.11420',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
