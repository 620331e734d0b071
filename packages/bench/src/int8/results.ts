import { join } from 'node:path';
import { type Lines, linesOf } from '../quantized/lines.ts';
import { settings } from './runs.ts';
import type { Tuned } from './tune.ts';

type Settings = Readonly<Record<keyof typeof settings, number>>;

/** A run on a model and its outcome, as a line of a file. */
export interface Outcome extends Tuned, Settings {
  /** The name of the model's folder. */
  readonly model: string;
  readonly form: string;
  readonly seed: number;
}

/** Cosines of gradients of a model, by form, as a line of a file. */
export interface Gradients extends Settings {
  readonly model: string;
  readonly cosines: Readonly<Record<string, number>>;
}

/** The files of lines in a folder of results. */
export const outcomesIn = (
  results: string,
): { readonly runs: Lines<Outcome>; readonly gradients: Lines<Gradients> } => ({
  runs: linesOf<Outcome>(join(results, 'int8.jsonl'), settings),
  gradients: linesOf<Gradients>(join(results, 'int8-gradients.jsonl'), settings),
});
