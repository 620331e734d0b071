import {
  type BiasChoice,
  biases,
  count,
  defineMethod,
  eachLinear,
  flag,
  type MethodFactory,
  ones,
  type Target,
  targets,
  wholeNumber,
  zeros,
} from '@peftjs/core';
import { matmul, mul, reshape, type Tensor } from '@peftjs/tensor';
import { addDelta } from '../add-delta.ts';
import { fastfood } from './fastfood.ts';

/** Options of `said`. */
export interface SaidOptions {
  /** Default: all linear layers but the head. */
  readonly target?: Target;
  /** Intrinsic dimension D: values that all layers share. Default 20,000. */
  readonly dimension?: number;
  /** Whether each layer also has a trained factor of its own (SAID), 1 at the start; else DID. Default true. */
  readonly byLayer?: boolean;
  /** Of the random projections. Default 0. */
  readonly seed?: number;
  /** Whether the projections are saved with the adapter; else they are drawn again when it is loaded. Default false. */
  readonly saveProjections?: boolean;
  /** Which biases of the base are trained too: all, or those of the adapted layers. Default `none`. */
  readonly bias?: BiasChoice;
}

/**
 * Intrinsic SAID: y = (W + λ·P·θ)·x + b, with θ [D] all that is trained, zero at the start, shared by all layers, and λ a factor of each layer. P is a random
 * projection of the layer's own by Fastfood, P·θ = H·G·Π·H·B·θ / (√(Σg²)·√n): H Hadamard's matrix, B signs, Π a permutation, G = diag(g) with g from N(0, 1), of the
 * length L ≥ n that is a power of two, n the number of the layer's weights, of which the first n values are taken. ΔW is formed in every step, in L·log L operations. Merges.
 * Only layers have projections, no norms, biases or embeddings. Throws `bad-option`, and when attached `no-match`.
 * Aghajanyan, Zettlemoyer & Gupta, 2020. https://arxiv.org/abs/2012.13255. As the code in https://github.com/rabeehk/compacter has it, but that gradients are not scaled by 1/L.
 */
export const said: MethodFactory<SaidOptions> = defineMethod<SaidOptions>({
  name: 'said',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      dimension: count('intrinsic_dim', 20_000),
      byLayer: flag('intrinsic_said', true),
      seed: wholeNumber('projection_seed', 0),
      saveProjections: flag('save_projection', false),
      bias: biases('said'),
    },
    attach: (model, scope, { target, dimension, byLayer, seed, saveProjections }) => {
      const theta = scope.param('said_theta', [dimension], zeros);
      return eachLinear(model, scope, target, 'said', (base, own, path) => {
        const { inDim, outDim } = base;
        const size = inDim * outDim;
        const project = fastfood(own, size, { name: 'said', salt: path, seed, save: saveProjections });
        const lambda = byLayer ? own.param('said_lambda', [1], ones) : null;
        const delta = (): Tensor => {
          const unit = reshape(project(theta), [outDim, inDim]);
          return lambda ? mul(unit, lambda) : unit;
        };
        return addDelta(base, {
          apply: (x) => matmul(x, delta(), { transposeB: true }),
          dense: delta,
        });
      });
    },
  },
  files: { peftType: 'PEFTJS_SAID' },
  card: {
    about: 'one short vector, projected to the weights of every layer',
    paper: {
      authors: 'Aghajanyan, Zettlemoyer & Gupta',
      year: 2020,
      title: 'Intrinsic Dimensionality Explains the Effectiveness of Language Model Fine-Tuning',
      url: 'https://arxiv.org/abs/2012.13255',
    },
    learningRate: 1e-2,
    narrowRate: 3.2e-3,
  },
});
