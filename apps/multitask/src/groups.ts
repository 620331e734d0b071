import type { Trial } from './trial.ts';

/** Several runs of one method. */
export interface TrialGroup {
  readonly method: string;
  readonly trials: readonly Trial[];
}

/** Trials by their method, in the order in which these come first. */
export const groupsOf = (trials: readonly Trial[]): readonly TrialGroup[] =>
  [...new Set(trials.map(({ method }) => method))].map((method) => ({
    method,
    trials: trials.filter((trial) => trial.method === method),
  }));

/** The mean of numbers. */
export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
