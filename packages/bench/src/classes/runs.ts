import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readLines } from '../quality/trials.ts';
import type { ClassTask } from './class-task.ts';
import type { Job, Tuned } from './tune.ts';

/** Which library trained. */
export type Stack = 'ours' | 'peer';

/** A training and its outcome, as a line of a file. Rates are looked for on `validation`; the table tells `test`. */
export interface Run extends Tuned, Job {
  readonly method: string;
  readonly stack: Stack;
  readonly on: 'validation' | 'test';
  readonly steps: number;
  readonly batchSize: number;
  readonly threads: number;
}

const fileOf = (results: string, { name }: ClassTask): string => join(results, `${name}.jsonl`);

/** Runs of a task that were made as runs are made now. */
export const readRuns = async (results: string, task: ClassTask): Promise<Run[]> =>
  (await readLines<Run>(fileOf(results, task))).filter(
    ({ steps, batchSize }) => steps === task.steps && batchSize === task.batchSize,
  );

/** Adds a run to the file of its task. */
export const addRun = (results: string, task: ClassTask, run: Run): Promise<void> =>
  appendFile(fileOf(results, task), `${JSON.stringify(run)}\n`);
