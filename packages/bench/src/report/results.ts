import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import type { Machine } from '../machine.ts';
import type { BenchOptions } from '../options.ts';
import type { KernelCheck } from '../pack/check-kernels.ts';
import type { Row } from '../run/measure.ts';
import { barChart } from './bar-chart.ts';
import { headline } from './headline.ts';
import { curvesOf } from './scaling.ts';
import { scalingChart } from './scaling-chart.ts';

/** A file of results. */
export interface Results {
  readonly date: string;
  /** As it can be given again, without where its results went. */
  readonly command: string;
  readonly machine: Machine;
  readonly settings: Pick<BenchOptions, 'rounds' | 'seconds' | 'budget' | 'threads' | 'toggles'>;
  readonly rows: readonly Row[];
  /** Of a packed bench: every kernel beside the reference. */
  readonly kernels?: KernelCheck;
}

/** A failed row as it may be shown to others: folders of this machine are nobody's business. */
const published = ({ failure, ...row }: Row): Row =>
  failure === undefined
    ? row
    : { ...row, failure: headline(failure).replace(/(?:file:\/\/)?(?:\/[\w.@+-]+)+\/(?=[\w.@+-])/g, '') };

/** The settings of a run, and where its results go. */
export type SaveOptions = Results['settings'] & Pick<BenchOptions, 'out' | 'command'>;

/** Writes the results and their charts under names that tell the date and the tasks; gives the paths. */
export const saveResults = async (
  rows: readonly Row[],
  machine: Machine,
  { rounds, seconds, budget, threads, toggles, out, command }: SaveOptions,
  kernels?: KernelCheck,
): Promise<string[]> => {
  const date = new Date().toISOString();
  const settings = { rounds, seconds, budget, threads, toggles };
  const results: Results = { date, command, machine, settings, rows: rows.map(published), ...(kernels && { kernels }) };
  await mkdir(out, { recursive: true });
  const base = join(out, date.slice(0, 19).replaceAll(':', ''));
  const scaled = curvesOf(rows).length > 0;
  const files = new Map([
    [`${base}.json`, `${JSON.stringify(results, null, 2)}\n`],
    [`${base}.svg`, barChart(rows)],
    ...(scaled ? [[`${base}-scaling.svg`, scalingChart(rows)] as const] : []),
  ]);
  for (const [path, content] of files) await writeFileAtomic(path, content);
  return [...files.keys()];
};
