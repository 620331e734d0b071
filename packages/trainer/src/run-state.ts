import type { Cursor } from '@peftjs/data';
import { isObject } from '@peftjs/io';
import type { Measured } from './schedule.ts';
import type { TrainResult } from './train.ts';

/** A held-out loss and measures, after so many steps. */
export interface Evaluated extends Measured {
  readonly metrics: Readonly<Record<string, number>>;
}

/** The progress of a run so far. */
export interface Log {
  readonly losses: TrainResult['losses'][number][];
  readonly evaluated: Evaluated[];
  readonly skipped: number[];
  /** Where the schedule was warmed up anew: after so many steps, over so many. */
  readonly rewarmed: { readonly after: number; readonly steps: number }[];
}

/** The content of a checkpoint beside tensors; all of it goes through JSON. */
export interface RunState<L> {
  /** Steps done. */
  readonly step: number;
  /** Where the data stood after them; null where the number of steps says it. */
  readonly data: Cursor | null;
  /** Whatever else the run wants back. */
  readonly log: L;
}

/** All that must be the same for a run to go on, in words: `seed` -> `3`. */
export type RunIdentity = Readonly<Record<string, string>>;

/** A state, and the run that it is of. */
export interface StoredRun extends RunState<Log> {
  readonly run: RunIdentity;
}

const isStep = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isListOf = (value: unknown, isItem: (item: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every(isItem);

/** Whether something has these fields, each a finite number, and its step is not beyond the run's. */
const hasNumbers =
  (last: number, ...fields: readonly string[]) =>
  (item: unknown): boolean =>
    isObject(item) && fields.every((field) => Number.isFinite(item[field])) && !((item['step'] as number) > last);

/** Whether numbers by name, where there are any. */
const hasMetrics = (item: unknown): boolean => {
  const metrics = isObject(item) ? item['metrics'] : undefined;
  return metrics === undefined || (isObject(metrics) && Object.values(metrics).every(Number.isFinite));
};

/** A metadata's text as an object; a text is what is wrong with it. */
const objectIn = (text: string | undefined): Readonly<Record<string, unknown>> | string => {
  if (text === undefined) return 'it says nothing of a run';
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : 'what it says of its run is no object';
  } catch {
    return 'what it says of its run is not JSON';
  }
};

/** Reads a state out of a checkpoint's metadata, whatever its log; a text is what is wrong with it. */
export const parseState = (text: string | undefined): RunState<unknown> | string => {
  const value = objectIn(text);
  if (typeof value === 'string') return value;
  if (!isStep(value['step'])) return 'its step is no whole number of at least 0';
  if (value['data'] !== null && !isObject(value['data'])) return 'where the data stood is no object';
  return value as unknown as RunState<unknown>;
};

/** Reads the state of a run of `train`; a text is what is wrong with it. */
export const parseRun = (text: string | undefined): StoredRun | string => {
  const state = parseState(text);
  if (typeof state === 'string') return state;
  const { step, log } = state;
  const { run } = state as Partial<StoredRun>;
  if (!isObject(run) || !Object.values(run).every((words) => typeof words === 'string'))
    return 'it does not say of which run it is';
  const isSound =
    isObject(log) &&
    isListOf(log['losses'], hasNumbers(step, 'step', 'loss', 'learningRate', 'gradNorm')) &&
    isListOf(log['losses'], hasMetrics) &&
    isListOf(log['evaluated'], hasNumbers(step, 'step', 'loss')) &&
    isListOf(log['evaluated'], (item) => isObject(item) && isObject(item['metrics']) && hasMetrics(item)) &&
    isListOf(log['skipped'], (s) => isStep(s) && s <= step) &&
    isListOf(log['rewarmed'], hasNumbers(step, 'after', 'steps'));
  return isSound ? (state as StoredRun) : 'its log is not one of losses by step';
};
