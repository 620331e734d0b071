import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type NamedSchedule, scheduleNames, scheduleOf } from '@peftjs/trainer';
import { expect, test } from 'vitest';

interface Case {
  readonly options: NamedSchedule;
  /** Of each step, or after each loss. */
  readonly rates: readonly number[];
  readonly losses?: readonly number[];
}

const file = join(import.meta.dirname, '../data/schedules.json');
const cases = JSON.parse(await readFile(file, 'utf8')) as readonly Case[];

test.each(cases.map((c) => [JSON.stringify(c.options), c] as const))(
  '%s gives the rates of get_scheduler',
  (_, { options, rates, losses }) => {
    const schedule = scheduleOf(options);
    const measured = losses?.map((loss, i) => ({ step: 10 * i, loss }));
    const ours = rates.map((__, i) => (measured ? schedule(10 * i, measured) : schedule(i)));
    expect(new Set(rates).size).toBeGreaterThanOrEqual(options.name === 'constant' ? 1 : 2);
    // Rates are 2e-3 and below; the smallest that is not 0 is 2e-5.
    for (const [i, rate] of rates.entries()) expect(Math.abs(ours[i]! - rate), `step ${i}`).toBeLessThan(1e-15);
  },
);

test('every schedule has a case', () => {
  expect([...new Set(cases.map((c) => c.options.name))].toSorted()).toEqual(scheduleNames.toSorted());
});
