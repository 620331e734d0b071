import { appendFile, readFile } from 'node:fs/promises';
import type { Settings } from './training.ts';
import type { Trial } from './trial.ts';

/** The trials of one setting in a file of JSON lines. */
export interface TrialRecord {
  readonly trials: Trial[];
  /** Writes trials that were made together, at once: a kill between two would leave one out for good. */
  add(made: readonly Trial[]): Promise<void>;
}

/** Reads a record, or begins one; trials of other settings than those that are given stay in the file, unread. */
export const openRecord = async (path: string, settings?: Settings): Promise<TrialRecord> => {
  const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n').filter(Boolean);
  const wanted = Object.entries(settings ?? {}) as [keyof Settings, number][];
  const trials = lines
    .map((line) => JSON.parse(line) as Trial)
    .filter((trial) => wanted.every(([name, value]) => trial[name] === value));
  return {
    trials,
    add: async (made) => {
      await appendFile(path, made.map((trial) => `${JSON.stringify(trial)}\n`).join(''));
      trials.push(...made);
      for (const { seed, method, rate, seconds } of made)
        process.stderr.write(`seed ${seed}, ${method}, rate ${rate}: ${seconds} s\n`);
    },
  };
};
