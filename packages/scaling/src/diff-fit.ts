import {
  type BiasChoice,
  biases,
  defineMethod,
  eachLinear,
  eachNorm,
  flag,
  type MethodFactory,
  ones,
  type Target,
  targets,
} from '@peftjs/core';
import type { Model, Path } from '@peftjs/transformer';
import { scaleOutput } from './scale-output.ts';

/** Options of `diffFit`. */
export interface DiffFitOptions {
  /** Which layers have a scale γ. Default: the last one of each attention and MLP, whose output goes to the residual stream. */
  readonly target?: Target;
  /** Whether the weights of norms are trained. Default true. */
  readonly norms?: boolean;
  /** Which biases of the base are trained: all, those of the scaled layers, or none. Default `all`. */
  readonly bias?: BiasChoice;
}

/** The last layers of attentions and MLPs. */
const lastLayers = ({ parts }: Model): Path[] => [...new Set(parts(['attn-out', 'down']).map(({ path }) => path))];

/**
 * DiffFit: the output of every attention and MLP is scaled before it is added to the residual stream, h + γ⊙f(h), γ [d] ones at the start; all biases that the model has and the weights of its norms are trained too, from
 * the base's values. γ is that of the last linear layer, y = γ⊙Wx + b, so that it merges; in models with a norm behind it stands before that. Throws `bad-option`, and when attached `no-match`.
 * Xie et al., 2023. https://arxiv.org/abs/2304.06648. For text models, after https://github.com/mkshing/DiffFit-pytorch, which has γ after each attention, cross-attention and MLP.
 */
export const diffFit: MethodFactory<DiffFitOptions> = defineMethod<DiffFitOptions>({
  name: 'diffFit',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', lastLayers),
      norms: flag('norms', true),
      bias: { ...biases('difffit'), fallback: () => 'all' },
    },
    attach: (model, scope, { target, norms }) => ({
      ...eachLinear(model, scope, target, 'diffFit', (base, own) =>
        scaleOutput(base, own.param('difffit_gamma', [base.outDim], ones)),
      ),
      ...(norms &&
        model.norms.size > 0 &&
        eachNorm(
          model,
          scope,
          () => true,
          'diffFit',
          (base, own) => base.encode({ weight: own.param('difffit_weight', [base.dim], base.weight), bias: base.bias }),
        )),
    }),
  },
  files: { peftType: 'PEFTJS_DIFFFIT' },
  card: {
    about: 'biases, norms, and a scale of every attention and MLP',
    paper: {
      authors: 'Xie et al.',
      year: 2023,
      title: 'DiffFit: Unlocking Transferability of Large Diffusion Models via Simple Parameter-Efficient Fine-Tuning',
      url: 'https://arxiv.org/abs/2304.06648',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
