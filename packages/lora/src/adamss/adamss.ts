import {
  count,
  defineMethod,
  eachLinear,
  familyTarget,
  type MethodCard,
  type MethodFactory,
  positive,
  rate,
  type Target,
  targets,
  wholeNumber,
} from '@peftjs/core';
import type { Path } from '@peftjs/transformer';
import { refusedFiles } from '../other-files.ts';
import { closeSubspaces, gatherImportance, holdClosed, keptOf } from './allocation.ts';
import { type Update, updated, updateOf } from './update.ts';

/** Options of `adamss`. */
export interface AdamssOptions {
  /** Default: what Hugging Face PEFT adapts with LoRA in this architecture (Llama: `q_proj` and `v_proj`). */
  readonly target?: Target;
  /** Singular vectors R of a weight, of which the subspaces are made; at most as many as it has. Default 100. */
  readonly directions?: number;
  /** Subspaces K of a layer. Default 5. */
  readonly subspaces?: number;
  /** Rank r of the update in each subspace, as far as it has so many outputs; K·r is at most the layer's outputs. Default 1. */
  readonly rank?: number;
  /** Ranks fall to the number of values that are above this share of a subspace's largest, of squared singular values. Default 0: they don't. */
  readonly threshold?: number;
  /** Subspaces of all layers together that are trained to the end; the others are frozen one after the other. Default 0: all are trained. */
  readonly active?: number;
  /** With `active`: the first step, counted from 0, at which some may be frozen. Default 50. */
  readonly warmup?: number;
  /** With `active`: the last. Default 1000. */
  readonly final?: number;
  /** With `active`: steps from one decision to the next. Default 100. */
  readonly interval?: number;
  /** With `active`: of the share of the others that is still trained, (1 − t)^exponent. Default 3. */
  readonly exponent?: number;
  /** With `active`: decay of the average of importance, and of its uncertainty. Default 0.85 each. */
  readonly beta1?: number;
  readonly beta2?: number;
  /** Draws the means that clusters of outputs begin with. Default 0. */
  readonly seed?: number;
}

const card: MethodCard = {
  about: 'low-rank updates in subspaces of outputs whose rows of the weight are alike',
  paper: {
    authors: 'Zheng et al.',
    year: 2025,
    title: 'AdaMSS: Adaptive Multi-Subspace Approach for Parameter-Efficient Fine-Tuning',
    url: 'https://openreview.net/forum?id=8ZdWmpYxT0',
  },
  learningRate: 1e-3,
  narrowRate: 1e-2,
};

/** Hugging Face PEFT's own, which don't say in which subspace an output is. */
const peftFiles = refusedFiles(
  card,
  'adamss',
  'ADAMSS',
  'the clusters of outputs that the matrices of a file of type ADAMSS belong to are not in its file; Hugging Face PEFT finds them anew when it loads, by what random numbers and rounding of the device at hand make of the weights. Merge it into the base where it was trained, with merge_and_unload of PEFT, and load that model',
);

/**
 * AdaMSS: y = Wx + b + B·A·V·(x, 1) in subspaces. V [R, in], and [R] for the bias, are right singular vectors of [W b] ≈ U·S·V, frozen. k-means over the rows of U puts each output in one of K subspaces. Each has a
 * matrix Aₖ [r, R], which begins as the leading right singular vectors of its rows of U, and each output a row of B [out, r], zero at the start, for the Aₖ of its subspace; both are trained. Nothing of shape [out, in] is formed
 * but at the start, when the weight is decomposed on the host: seconds for a side of 1,000. With `active` every step gathers how important each subspace is, an average of |θ·∂θ| times its uncertainty;
 * at some steps the least important of all layers are frozen, and what they learnt stays. V and the subspaces are saved; files of Hugging Face PEFT hold none, and are refused. Merges. Throws `bad-option`, also
 * when attached to a layer of fewer than K·r outputs, and then `no-match` and `state-mismatch`.
 * Zheng et al., 2025. https://openreview.net/forum?id=8ZdWmpYxT0. Decomposition, first values and importance are those of Hugging Face PEFT 0.21, where of as many subspaces as stay one more is frozen.
 */
export const adamss: MethodFactory<AdamssOptions> = defineMethod<AdamssOptions>({
  name: 'adamss',
  formula: {
    merges: true,
    options: {
      target: targets('target_modules', familyTarget('lora')),
      directions: count('r', 100),
      subspaces: count('num_subspaces', 5),
      rank: count('subspace_rank', 1),
      threshold: rate('svd_threshold', 0),
      active: wholeNumber('asa_target_subspaces', 0),
      warmup: wholeNumber('init_warmup', 50),
      final: count('final_warmup', 1000),
      interval: count('mask_interval', 100),
      exponent: positive('asa_schedule_exponent', 3),
      beta1: rate('asa_importance_beta', 0.85),
      beta2: rate('asa_uncertainty_beta', 0.85),
      seed: wholeNumber('random_seed', 0),
    },
    check: ({ active = 0, warmup = 50, final = 1000 }) =>
      active === 0 || warmup < final ? null : `warmup ${warmup} must be below final ${final}`,
    attach: (model, scope, options) => {
      const layers = new Map<Path, Update>();
      const patch = eachLinear(model, scope, options.target, 'adamss', (base, own, path) => {
        const update = updateOf(base, own, path, options);
        layers.set(path, update);
        if (options.active > 0) keptOf(update);
        return updated(base, update);
      });
      if (options.active === 0) return patch;
      return {
        ...patch,
        project: holdClosed(layers),
        statistics: (step) => gatherImportance(layers, scope, step, options),
        decision: closeSubspaces(layers, options),
      };
    },
  },
  files: { peftType: 'PEFTJS_ADAMSS', also: peftFiles },
  card,
});
