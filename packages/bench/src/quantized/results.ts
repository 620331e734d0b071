import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import { readLines } from '../quality/trials.ts';
import { type QuantizedRun, settings } from './runs.ts';
import type { Tuned } from './tune.ts';

/** A run on a model and its outcome, as a line of a file. */
export interface Outcome extends Tuned, Readonly<Record<keyof typeof settings, number>> {
  /** The name of the model's folder. */
  readonly model: string;
  readonly name: string;
  /** The base, as code makes it. */
  readonly of: string;
}

/** The file of outcomes in a folder of results. */
export const outcomesFile = (results: string): string => join(results, 'quantized.jsonl');

/** The outcomes in a folder of results that were made as runs are made now. */
export const readOutcomes = async (results: string): Promise<Outcome[]> =>
  (await readLines<Outcome>(outcomesFile(results))).filter((line) =>
    Object.entries(settings).every(([key, value]) => line[key as keyof typeof settings] === value),
  );

/** That of a run on a model; undefined where it is missing. */
export const outcomeOf = (
  outcomes: readonly Outcome[],
  model: string,
  { name, base }: Pick<QuantizedRun, 'name' | 'base'>,
): Outcome | undefined => outcomes.find((line) => line.model === model && line.name === name && line.of === base);

/** Adds an outcome to those in a folder of results; a line that was cut short goes. */
export const addOutcome = async (results: string, outcome: Outcome): Promise<void> => {
  const all = [...(await readLines<Outcome>(outcomesFile(results))), outcome];
  await writeFileAtomic(outcomesFile(results), all.map((line) => `${JSON.stringify(line)}\n`).join(''));
};
