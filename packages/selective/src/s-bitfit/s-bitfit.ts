import {
  type Chosen,
  count,
  defineMethod,
  flag,
  type MethodFactory,
  positive,
  type Scope,
  type Target,
  targets,
  zeros,
} from '@peftjs/core';
import { checkPlaces } from '@peftjs/core/collect';
import { PeftError, scatterAdd, type Tensor } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { share } from '../masked/define-masked.ts';
import { type Mask, masks } from '../masked/mask.ts';
import { biasLength, pruneBiases, shiftedLinear, shiftedNorm } from './prune-biases.ts';

/** Options of `sBitfit`. */
export interface SBitfitOptions {
  /** Whose biases may be chosen; a layer that has none may get one. Default: all linear layers but the output head. */
  readonly target?: Target;
  /** The norms whose biases may be. Default: those that have one. */
  readonly norms?: Target;
  /** The share that is trained of all these biases, or of their vectors, in (0, 1]. Default 0.25. */
  readonly keep?: number;
  /** Whether a layer's vector of biases is trained whole or not at all (S-BitFit), or each bias by itself (U-BitFit). Default true. */
  readonly structured?: boolean;
  /** In how many rounds they are pruned. Default 4. */
  readonly rounds?: number;
  /** Steps of tuning before the last of them is over. Default 100. */
  readonly steps?: number;
  /** AdamW's rate in the first step of a round; it falls to 0 evenly. Default 1e-3. */
  readonly learningRate?: number;
  /** The places in the vectors of biases, instead of those that `prepare` chooses. */
  readonly mask?: Mask;
}

/** δ [length], zero but at some places, where it is trained, from 0. Throws `state-mismatch` for places of a file that there are not. */
const shiftOf = (own: Scope, places: ArrayLike<number>, length: number): Tensor => {
  const values = own.param('bias_values', [places.length], zeros);
  const index = own.buffer('bias_index', [places.length], () => Int32Array.from(places, (at, i) => at ?? i), 'i32');
  checkPlaces('sBitfit', index, places, length);
  return scatterAdd(values, index, { rows: length });
};

const chosenPaths = (mask: Mask, model: Model): Path[] => {
  const paths = Object.keys(mask);
  if (paths.length === 0)
    throw new PeftError('bad-option', 'sBitfit: no biases are chosen yet; call prepare with examples first');
  const odd = paths.filter((path) => biasLength(model, path) === undefined);
  if (odd.length > 0)
    throw new PeftError('no-match', `sBitfit: the model has no linear layer or norm ${odd.join(', ')}`);
  return paths;
};

/**
 * S-BitFit: BitFit whose biases are chosen by pruning. All biases of the targeted layers and norms are tuned for a time, and in rounds those are taken back that matter least to the loss to first order, |δ·g| of the
 * change δ of a bias and its gradient g, until the share `keep` is left: whole vectors, or single biases. `prepare` does so; what is left is then trained, b' = b + δ, from δ = 0. Saved are k values and k places.
 * Merges. Throws `bad-option`, and when prepared `diverged`, when attached `no-match`, `state-mismatch`.
 * Lawton, Kumar, Thattai, Galstyan & Ver Steeg, 2023. https://arxiv.org/abs/2305.16597. All biases to begin with, the first-order score, both kinds of pruning and rounds are the paper's, as its abstract and summaries
 * tell; there is no code of the authors. Ours: how long a round lasts, the sum over the batches by which g is taken, |Σ δ·g| of a vector, that the number falls by the same factor in each round, and that the chosen
 * biases begin again at the base's.
 */
export const sBitfit: MethodFactory<SBitfitOptions> = defineMethod<SBitfitOptions>({
  name: 'sBitfit',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', 'all-linear'),
      norms: targets(
        'norm_modules',
        (model: Model) => [...model.norms].flatMap(([path, { bias }]) => (bias ? [path] : [])),
        (model: Model) => model.norms.keys(),
      ),
      keep: share('keep_ratio', 0.25),
      structured: flag('structured', true),
      rounds: count('pruning_rounds', 4),
      steps: count('pruning_steps', 100),
      learningRate: positive('pruning_learning_rate', 1e-3),
      mask: masks,
    },
    prepare: async (model, options, look) => {
      const { target, norms, mask, ...pruning } = options as Chosen<SBitfitOptions>;
      if (Object.keys(mask).length > 0) return options;
      const paths = [...(target as readonly Path[]), ...(norms as readonly Path[])];
      return { ...options, mask: await pruneBiases('sBitfit', model, paths, pruning, look) };
    },
    attach: (model, scope, { mask }) => {
      const paths = chosenPaths(mask, model);
      const shift = (path: Path): Tensor => shiftOf(scope.at(path), mask[path]!, biasLength(model, path)!);
      return {
        linear: new Map(
          paths.flatMap((path) =>
            model.linears.has(path) ? [[path, (base) => shiftedLinear(base, shift(path))] as const] : [],
          ),
        ),
        norm: new Map(
          paths.flatMap((path) =>
            model.norms.has(path) ? [[path, (base) => shiftedNorm(base, shift(path))] as const] : [],
          ),
        ),
      };
    },
  },
  files: { peftType: 'PEFTJS_S_BITFIT' },
  card: {
    about: 'the biases that matter most',
    paper: {
      authors: 'Lawton et al.',
      year: 2023,
      title: 'Neural Architecture Search for Parameter-Efficient Fine-tuning of Large Pre-trained Language Models',
      url: 'https://arxiv.org/abs/2305.16597',
    },
    learningRate: 1e-3,
    narrowRate: 1e-2,
  },
});
