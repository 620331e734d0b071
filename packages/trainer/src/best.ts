import { type Executor, PeftError, type TypedArray, type Variable } from '@peftjs/tensor';
import type { Group } from './group.ts';
import type { Safe } from './safe.ts';
import { shareVariables } from './share.ts';

/** The weights of the best measurement of a run. */
export interface Best {
  /** Keeps those that are there now. */
  keep(): Promise<void>;
  /** Brings them back. */
  restore(): Promise<void>;
}

/** The places of the best weights. */
export interface BestOptions {
  readonly executor: Executor;
  readonly group: Group;
  readonly safe: Safe;
}

/**
 * Keeps the best weights of a run: in a file beside its checkpoint, so that a run that was cut short has them, or in the host's memory where there is none. In a
 * group all have a copy in memory, since the first alone has the file.
 */
export const makeBest = (variables: readonly Variable[], { executor, group, safe }: BestOptions): Best => {
  let copy: readonly TypedArray[] | null = null;
  return {
    keep: async () => {
      await safe.keepBest();
      if (safe.hasFile && group.size === 1) return;
      copy = await Promise.all(variables.map(async (v) => (await executor.read(v)).slice()));
    },
    restore: async () => {
      if (copy) {
        for (const [i, v] of variables.entries()) await executor.write(v, copy[i]!);
        return;
      }
      // After a resume: the file of the first process has them.
      if (group.rank === 0 && !(await safe.restoreBest()))
        throw new PeftError(
          'bad-data',
          'train: the file of the best weights, beside the checkpoint, is gone; train anew',
        );
      if (group.size > 1) await shareVariables(variables, executor, group);
    },
  };
};
