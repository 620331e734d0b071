import { describe, test } from 'vitest';
import { describeExecutors } from '../executors.ts';
import { timeout } from '../timeout.ts';
import { mustStepAlike, type TransformRow, transformLaws } from './transform-laws.ts';

/** Tests of a gradient transform, such as an optimiser: every law of one on the reference executor, and that the others step alike. */
export const describeTransform = (name: string, row: TransformRow): void => {
  describe(`${name} on reference`, () => {
    for (const law of transformLaws(row)) test(law.name, { timeout }, law.check);
  });
  describeExecutors(name, 'three steps are what the definition says', (executor) => mustStepAlike(row, executor));
};
