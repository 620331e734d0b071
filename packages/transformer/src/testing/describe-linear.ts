import { describe, test } from 'vitest';
import { type LinearRow, linearLaws } from './linear-laws.ts';

/** Tests of a Linear, plain, quantised or adapted: every law of one. */
export const describeLinear = (name: string, row: LinearRow): void => {
  describe(name, () => {
    for (const law of linearLaws(name, row)) test(law.name, law.check);
  });
};
