import type { Decision } from '@peftjs/core';
import { importanceOf } from './importance.ts';
import type { Triplets } from './triplets.ts';

/** When and how far the number of triplets falls. */
export interface BudgetOptions {
  /** Triplets in a layer at first, and on average at last. */
  readonly rank: number;
  readonly targetRank: number;
  /** Steps of the training, and how many of them come before and after the fall. */
  readonly steps: number;
  readonly warmup: number;
  readonly final: number;
  /** Steps between two allocations. */
  readonly interval: number;
}

/** How many triplets some layers keep together at step t: rank each until `warmup`, targetRank from `steps − final`, a cubic between. */
export const budgetAt = (
  layers: number,
  { rank, targetRank, steps, warmup, final }: BudgetOptions,
  t: number,
): number => {
  const left = Math.min(1, Math.max(0, 1 - (t - warmup) / (steps - final - warmup)));
  return Math.trunc(layers * (rank - targetRank) * left ** 3 + layers * targetRank);
};

/** Which scores are among the `budget` largest of all layers; of equals at the threshold none. */
const keptOf = (scores: readonly ArrayLike<number>[], budget: number): boolean[][] => {
  const sorted = scores.flatMap((s) => Array.from(s)).sort((a, b) => a - b);
  const threshold = sorted[sorted.length - budget - 1] ?? Number.NEGATIVE_INFINITY;
  return scores.map((s) => Array.from(s, (v) => v > threshold));
};

/**
 * Lets the least important triplets of all layers go, by setting their E to zero. Before the last allocation they may come back. Steps are
 * counted from 0, as in Hugging Face PEFT.
 */
export const allocate = (layers: readonly Triplets[], options: BudgetOptions): Decision => {
  const { steps, warmup, final, interval } = options;
  const last = steps - final;
  return {
    due: (step) => {
      const t = step - 1;
      return t > warmup && t <= last && (t % interval === 0 || t === last);
    },
    run: async (step, device) => {
      const t = step - 1;
      const known = layers.map(importanceOf);
      const scores = await Promise.all(known.map(({ scores: s }) => device.read(s)));
      const kept = keptOf(scores, budgetAt(layers.length, options, t));
      for (const [i, { e }] of layers.entries()) {
        const values = await device.read(e);
        await device.write(
          e,
          Float32Array.from(values, (v, j) => (kept[i]![j] ? v : 0)),
        );
        if (t === last) await device.write(known[i]!.mask, Float32Array.from(kept[i]!, Number));
      }
    },
  };
};
