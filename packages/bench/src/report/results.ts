import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import type { Machine } from '../machine.ts';
import type { BenchOptions } from '../options.ts';
import { paths } from '../paths.ts';
import type { Row } from '../run/measure.ts';
import { barChart } from './bar-chart.ts';

/** A file of results. */
export interface Results {
  readonly date: string;
  readonly machine: Machine;
  readonly settings: Pick<BenchOptions, 'rounds' | 'seconds' | 'threads' | 'toggles'>;
  readonly rows: readonly Row[];
}

/** Writes the results and their chart under names that tell the date and the tasks; gives the paths. */
export const saveResults = async (
  rows: readonly Row[],
  machine: Machine,
  { rounds, seconds, threads, toggles }: BenchOptions,
  folder: string = paths.results,
): Promise<string[]> => {
  const date = new Date().toISOString();
  const results: Results = { date, machine, settings: { rounds, seconds, threads, toggles }, rows };
  const base = join(folder, date.slice(0, 19).replaceAll(':', ''));
  await writeFileAtomic(`${base}.json`, `${JSON.stringify(results, null, 2)}\n`);
  await writeFileAtomic(`${base}.svg`, barChart(rows));
  return [`${base}.json`, `${base}.svg`];
};
