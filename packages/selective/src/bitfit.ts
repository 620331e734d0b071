import { defineMethod, eachLinear, eachNorm, type MethodFactory, type Target, targets, zeros } from '@peftjs/core';
import { add, sub } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** Options of `bitfit`. */
export interface BitfitOptions {
  /** Which linear layers train their bias; one that has none gets one of zeros. Default: all but the output head. */
  readonly target?: Target;
  /** Which norms do; one that has none gets one. Default: those that have a bias. */
  readonly norms?: Target;
}

const withBias = ({ norms }: Model): readonly string[] =>
  [...norms].flatMap(([path, { bias }]) => (bias ? [path] : []));

/**
 * BitFit: of the model's own weights only the biases are trained, y = Wx + b with b of shape [out], at the start the base's. In a model
 * without biases the targeted layers get them. Merges. Throws `bad-option`, and when attached `no-match`.
 * Ben Zaken, Goldberg & Ravfogel, 2021. https://arxiv.org/abs/2106.10199
 */
export const bitfit: MethodFactory<BitfitOptions> = defineMethod<BitfitOptions>({
  name: 'bitfit',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      norms: targets('norm_modules', withBias, (model) => model.norms.keys()),
    },
    attach: (model, scope, { target, norms }) => ({
      ...eachLinear(model, scope, target, 'bitfit', (base, own) => {
        const before = base.dense().bias;
        const bias = own.param('bias', [base.outDim], before ?? zeros);
        return {
          ...base,
          // What the bias has gained, since a quantised layer adds its own one itself.
          apply: (x, call) => add(base.apply(x, call), before ? sub(bias, before) : bias),
          dense: () => ({ weight: base.dense().weight, bias }),
        };
      }),
      ...(!(Array.isArray(norms) && norms.length === 0) &&
        eachNorm(model, scope, norms, 'bitfit', (base, own) =>
          base.encode({ weight: base.weight, bias: own.param('bias', [base.dim], base.bias ?? zeros) }),
        )),
    }),
  },
  files: {
    peftType: 'PEFTJS_BITFIT',
  },
  card: {
    about: 'every bias',
    paper: {
      authors: 'Ben Zaken, Goldberg & Ravfogel',
      year: 2021,
      title: 'BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models',
      url: 'https://arxiv.org/abs/2106.10199',
    },
    learningRate: 1e-3,
    narrowRate: 3.2e-2,
  },
});
