import type { Row } from '../run/measure.ts';
import type { Results } from './results.ts';

/** The rows of a task from the newest results that have it. */
export interface Newest {
  readonly results: Results;
  readonly rows: readonly [Row, ...Row[]];
}

/** By task, in the order of the newest file's. */
export const newestByTask = (all: readonly Results[]): ReadonlyMap<string, Newest> => {
  const byTask = new Map<string, Newest>();
  for (const results of [...all].sort((a, b) => b.date.localeCompare(a.date)))
    for (const task of new Set(results.rows.map((row) => row.task))) {
      const [first, ...others] = results.rows.filter((row) => row.task === task);
      if (first && !byTask.has(task)) byTask.set(task, { results, rows: [first, ...others] });
    }
  return byTask;
};
