import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import type { Length } from './length.ts';
import type { Options } from './sizes.ts';
import type { Outcome } from './trial.ts';

/** One training, as a line of the file of trials. A training that diverged has null for its losses. */
export interface Trial extends Length {
  readonly method: string;
  readonly options: Options;
  readonly parameters: number;
  readonly learningRate: number;
  readonly seed: number;
  readonly validation: number | null;
  readonly heldOut: number | null;
  readonly planned: number;
  readonly seconds: number;
}

/** The name under which the base model stands among the methods. */
export const base = 'base';

/** Trials that are done: the file of one line of JSON each, to which those that follow are added. */
export interface Trials {
  readonly done: readonly Trial[];
  find(method: string, options: Options, learningRate: number, seed: number): Trial | undefined;
  add(trial: Trial): Promise<void>;
}

const finite = (x: number): number | null => (Number.isFinite(x) ? x : null);

/** A trial of an outcome. */
export const trialOf = (
  what: Omit<Trial, keyof Outcome>,
  { validation, heldOut, planned, seconds }: Outcome,
): Trial => ({
  ...what,
  validation: finite(validation),
  heldOut: finite(heldOut),
  planned,
  seconds: Number(seconds.toFixed(2)),
});

/** The text of a file; nothing where there is none. */
const textOf = (file: string): Promise<string> =>
  readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });

/** The values of a file of JSON lines, none where it is not there; a last line that was cut short is left out: its trial is simply done again. */
export const readLines = async <T>(file: string): Promise<T[]> =>
  (await textOf(file))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as T);

/** Opens the file of trials, which need not be there yet; of others than those of this length it takes no notice. */
export const openTrials = async (file: string, { steps, batchSize }: Length): Promise<Trials> => {
  await mkdir(dirname(file), { recursive: true });
  const text = await textOf(file);
  if (!text.endsWith('\n')) await writeFileAtomic(file, text.slice(0, text.lastIndexOf('\n') + 1));
  const done = (await readLines<Trial>(file)).filter((trial) => trial.steps === steps && trial.batchSize === batchSize);
  return {
    done,
    find: (method, options, learningRate, seed) =>
      done.find(
        (trial) =>
          trial.method === method &&
          trial.learningRate === learningRate &&
          trial.seed === seed &&
          JSON.stringify(trial.options) === JSON.stringify(options),
      ),
    add: async (trial) => {
      done.push(trial);
      await appendFile(file, `${JSON.stringify(trial)}\n`);
    },
  };
};
