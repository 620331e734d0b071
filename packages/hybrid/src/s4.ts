import { pfeiffer } from '@peftjs/adapters';
import { type CombinedPart, combine, type Method } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { adapterHubPrefixTuning } from '@peftjs/prompts';
import { bitfit } from '@peftjs/selective';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { Model } from '@peftjs/transformer';

/** Sizes of the parts. */
export interface S4Options {
  /** Width of the adapters. Default d / 16, at least 1. */
  readonly bottleneck?: number;
  /** Tokens of the prefixes. Default 10. */
  readonly prefix?: number;
  /** Rank of LoRA. Default 8. */
  readonly rank?: number;
}

const rules: Rules<S4Options> = { bottleneck: mustBe.count, prefix: mustBe.count, rank: mustBe.count };

/** The strategies of each group, as the paper found them for T5-base: adapters (A), LoRA (L), prefixes (P), BitFit (B). */
const groups = ['AL', 'AP', 'APB', 'PBL'] as const;

/** The numbers of the layers of four groups, the first and the last the smaller: N₁ ≤ N₂ ≈ N₃ ≥ N₄. */
export const spindle = (layers: number): readonly (readonly number[])[] => {
  const outer = Math.max(1, Math.round(layers / 6));
  const inner = layers - 2 * outer;
  const counts = [outer, Math.floor(inner / 2), Math.ceil(inner / 2), outer];
  let next = 0;
  return counts.map((count) => Array.from({ length: count }, () => next++));
};

/**
 * S4, the method that a search through design spaces of parameter-efficient fine-tuning ended at: the layers stand in four groups in the
 * pattern of a spindle, all are tuned, and each group has its own strategies: 1 adapters and LoRA, 2 adapters and prefixes, 3 adapters, prefixes and BitFit, 4
 * prefixes, BitFit and LoRA. The groups are those found for T5-base; how many layers make a group is ours: a sixth of them each of the outer two, the rest the inner two.
 * Its file is a combination's: `load(model, dir, [pfeiffer, lora, adapterHubPrefixTuning, bitfit])`. Throws `bad-option`, also for a model of fewer than four layers.
 * Chen et al., 2023. https://arxiv.org/abs/2301.01821
 */
export const s4 = (model: Model, options: S4Options = {}): Method => {
  checkOptions('s4', rules, options);
  const { bottleneck = Math.max(1, Math.floor(model.main.hiddenSize / 16)), prefix = 10, rank = 8 } = options;
  const { length: count } = model.main.paths('block');
  if (count < 4) throw new PeftError('bad-option', `s4: has four groups of layers, and this model has ${count} layers`);
  const strategies: Readonly<Record<string, () => Method>> = {
    A: () => pfeiffer({ bottleneck }),
    L: () => lora({ rank }),
    P: () => adapterHubPrefixTuning({ length: prefix, flat: true }),
    B: () => bitfit(),
  };
  const layersOf = spindle(count);
  return combine(
    groups.flatMap((letters, i) =>
      [...letters].map(
        (letter): CombinedPart => ({
          name: `group${i + 1}${letter}`,
          method: strategies[letter]!(),
          layers: layersOf[i]!,
        }),
      ),
    ),
  );
};
