import type { Decision } from '@peftjs/core';
import type { Watched } from './importance.ts';

/** When structures go, and how many. */
export interface SparsityOptions {
  /** The share of a group that is gone at last. */
  readonly ratio: number;
  /** Steps of the training. */
  readonly steps: number;
  /** Shares of the steps before the first and after the last decision. */
  readonly warmup: number;
  readonly final: number;
  /** Steps from one decision to the next. */
  readonly every: number;
}

/** The share of a group that is gone at a step, counted from 0: ratio·(1 − left³), where what is left falls evenly from 1 after `warmup` to 0 before `final`. */
export const sparsityAt = ({ ratio, steps, warmup, final }: SparsityOptions, step: number): number => {
  if (step <= warmup * steps) return 0;
  if (step > steps - final * steps) return ratio;
  return ratio - ratio * (1 - (step - warmup * steps) / (steps - (warmup + final) * steps)) ** 3;
};

/** Lets the least important structures of each group go; those that are gone stay so. */
export const letGo = (groups: readonly Watched[], options: SparsityOptions): Decision => ({
  due: (step) => {
    const share = sparsityAt(options, step - 1);
    return share > 0 && share < options.ratio && (step - 1) % options.every === 0;
  },
  run: async (step, between) => {
    const share = sparsityAt(options, step - 1);
    for (const { mask, importance, count } of groups) {
      const stays = Float32Array.from(await between.read(mask));
      const scores = await between.read(importance);
      if (1 - stays.reduce((n, v) => n + v, 0) / count >= options.ratio) continue;
      const order = [...stays.keys()].sort((i, j) => scores[i]! * stays[i]! - scores[j]! * stays[j]! || i - j);
      const gone = new Set(order.slice(0, Math.floor(count * share)));
      await between.write(
        mask,
        Float32Array.from(stays, (_, i) => (gone.has(i) ? 0 : 1)),
      );
    }
  },
});
