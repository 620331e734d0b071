import { describe, test } from 'vitest';
import { describeExecutors } from '../executors.ts';
import { timeout } from '../timeout.ts';
import { mustAgreeOnTask, type TaskRow, taskLaws } from './task-laws.ts';

/** Tests of a task: every law of one on the reference executor, and that the others compute the same loss and gradients. */
export const describeTask = (name: string, row: TaskRow): void => {
  describe(`${name} on reference`, () => {
    for (const law of taskLaws(row)) test(law.name, { timeout }, law.check);
  });
  describeExecutors(name, 'loss and gradients are what the definition says', (executor) =>
    mustAgreeOnTask(row, executor),
  );
};
