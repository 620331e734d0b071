import { join } from 'node:path';
import { type Lines, linesOf } from './lines.ts';
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

const linesIn = (results: string): Lines<Outcome> => linesOf<Outcome>(outcomesFile(results), settings);

/** The outcomes in a folder of results that were made as runs are made now. */
export const readOutcomes = (results: string): Promise<Outcome[]> => linesIn(results).read();

/** That of a run on a model; undefined where it is missing. */
export const outcomeOf = (
  outcomes: readonly Outcome[],
  model: string,
  { name, base }: Pick<QuantizedRun, 'name' | 'base'>,
): Outcome | undefined => outcomes.find((line) => line.model === model && line.name === name && line.of === base);

/** Adds an outcome to those in a folder of results; a line that was cut short goes. */
export const addOutcome = (results: string, outcome: Outcome): Promise<void> => linesIn(results).add(outcome);
