import type { Adapted } from '@peftjs/core';
import { checkOptions, mustBe, type OnExecutor, onExecutor, PeftError, type Rules } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';
import type { ComputedLora } from './lora-of.ts';
import type { MajoritySign, Rule } from './task-vectors.ts';

/** Ways to make one LoRA of several, by the names of Hugging Face PEFT's `combination_type`. */
export type CombinationType = 'cat' | 'svd' | Rule | `${Exclude<Rule, 'linear'>}_svd`;

const types: readonly CombinationType[] = [
  ...(['cat', 'svd', 'linear', 'ties', 'ties_svd', 'dare_linear', 'dare_linear_svd'] as const),
  ...(['dare_ties', 'dare_ties_svd', 'magnitude_prune', 'magnitude_prune_svd'] as const),
];

/** How adapters become one. */
export interface MergeAdaptersOptions extends OnExecutor {
  /** The weight wᵢ of each adapter; negative ones subtract. */
  readonly weights: readonly number[];
  /** Default `svd`. */
  readonly how?: CombinationType;
  /** Rank of the result. Of `svd` and its kin: default the largest that the layer has; of `cat`: at least the sum of the ranks, which is the default. */
  readonly rank?: number;
  /** The share of values that pruning keeps, in [0, 1]; needed by `ties`, `dare_…` and `magnitude_prune`. */
  readonly density?: number;
  /** The sign that TIES elects: that of the values' sum, or that which more values have. Default `total`. */
  readonly majoritySign?: MajoritySign;
  /** Seed of what `dare_…` drops. Default 0. */
  readonly seed?: number;
}

const rules: Rules<MergeAdaptersOptions> = {
  ...onExecutor,
  weights: mustBe.given(
    mustBe.such('a list of finite numbers', (v) => Array.isArray(v) && v.every((w) => Number.isFinite(w))),
  ),
  how: mustBe.oneOf(types),
  rank: mustBe.count,
  density: mustBe.share,
  majoritySign: mustBe.oneOf(['total', 'frequency']),
  seed: mustBe.whole,
};

/** All that is wrong with a call. */
const problemsOf = (adapters: readonly Adapted<Model>[], options: MergeAdaptersOptions): string[] => {
  const { weights, how = 'svd', density, rank } = options;
  const prunes = how.includes('ties') || how.includes('dare') || how.includes('prune');
  return [
    ...(adapters.length === 0 ? ['there is no adapter; give at least one'] : []),
    ...(weights.length !== adapters.length
      ? [`there are ${adapters.length} adapters and ${weights.length} weights; give one for each`]
      : []),
    ...(adapters.some(({ base }) => base !== adapters[0]!.base)
      ? ['the adapters have unlike bases; load or attach all of them over one']
      : []),
    ...(prunes && density === undefined ? [`${how} needs density, the share of values to keep`] : []),
    ...(how.startsWith('dare') && density === 0 ? [`${how} divides by density, which must be above 0`] : []),
    ...(rank !== undefined && how !== 'cat' && !how.endsWith('svd')
      ? [
          `${how} keeps the rank that the adapters have; leave out rank, or use ${how === 'linear' ? 'svd' : `${how}_svd`}`,
        ]
      : []),
  ];
};

/**
 * One LoRA of several over the same base, with the weights wᵢ; a layer that only some adapt is made of those.
 *
 * `cat`: ΔW = Σ wᵢΔWᵢ exactly, the factors side by side, of the sum of the ranks; with zeros up to `rank`, so that adapters of unlike ranks
 * can be swapped (`hotSwap`) without compiling.
 * `svd`: the product of that rank that lies closest to Σ wᵢΔWᵢ; exact where `rank` is the rank of that sum or more.
 * `linear`: A = Σ ±√|wᵢsᵢ|·Aᵢ, B = Σ √|wᵢsᵢ|·Bᵢ with the scales sᵢ: cheap, and not the sum, since products mix.
 * `ties`, `dare_linear`, `dare_ties`, `magnitude_prune`: the same of pruned factors; with `_svd` of pruned ΔWᵢ, whose result is brought to `rank`.
 *
 * `errors` says how far each layer is from Σ wᵢΔWᵢ. All as Hugging Face PEFT's `add_weighted_adapter`, but for ranks: those of patterns are
 * kept. Works on the host in f64. Throws `bad-option` for adapters that are no LoRA of layers alone, for unlike bases, and for unlike ranks where a way has none.
 * Yadav et al., 2023 (TIES). https://arxiv.org/abs/2306.01708. Yu et al., 2024 (DARE). https://arxiv.org/abs/2311.03099
 */
export const mergeAdapters = async <M extends Model>(
  adapters: readonly Adapted<M>[],
  options: MergeAdaptersOptions,
): Promise<ComputedLora<M>> => {
  checkOptions('mergeAdapters', rules, options);
  const problems = problemsOf(adapters, options);
  if (problems.length > 0) throw new PeftError('bad-option', `mergeAdapters: ${problems.join('; ')}`);
  const { mergedLora } = await import('./merged-lora.ts'); // with ml-matrix, which nothing else needs
  return mergedLora(adapters, options);
};
