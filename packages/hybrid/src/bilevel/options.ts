import type { Examples } from '@peftjs/core';
import { mustBe, type OnExecutor, onExecutor, type Rules } from '@peftjs/tensor';

/** Options of every search that trains on one half of the batches and judges by the other. */
export interface BilevelOptions extends OnExecutor {
  /** Batches that the trained values are trained on, visited again and again. */
  readonly train: readonly Examples[];
  /** Batches that say which of them are good. */
  readonly validation: readonly Examples[];
  /** Steps of the search. */
  readonly steps: number;
  /** Called after each step with the mean loss of its validation batch; waited for. */
  readonly onStep?: (progress: { readonly step: number; readonly loss: number }) => unknown;
  /** Default 0. */
  readonly seed?: number;
}

const batches = mustBe.given(mustBe.such('a list of batches', (v) => Array.isArray(v) && v.length > 0));

/** Their rules. */
export const bilevelRules: Rules<BilevelOptions> = {
  ...onExecutor,
  train: batches,
  validation: batches,
  steps: mustBe.given(mustBe.count),
  onStep: mustBe.fn,
  seed: mustBe.whole,
};
