import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import type { Cells } from './align.ts';
import type { ProfileRecord } from './profile-table.ts';

const fileIn = (results: string): string => join(results, 'profile.jsonl');

/** The profiles in a folder of results: one of each task and stack. */
export const readProfiles = async (results: string): Promise<ProfileRecord[]> => {
  const text = await readFile(fileIn(results), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ProfileRecord);
};

/** Keeps profiles, each in place of the one of the same task and stack; gives the file. */
export const saveProfiles = async (results: string, made: readonly ProfileRecord[]): Promise<string> => {
  const keyOf = ({ task, stack }: ProfileRecord): string => `${task} ${stack}`;
  const all = new Map([...(await readProfiles(results)), ...made].map((record) => [keyOf(record), record]));
  await mkdir(results, { recursive: true });
  await writeFileAtomic(fileIn(results), [...all.values()].map((record) => `${JSON.stringify(record)}\n`).join(''));
  return fileIn(results);
};

/** The share of the time below which a kernel has no line of its own. */
const leastShare = 0.01;

/** A profile's kernels, most time first; the small ones are one line. */
export const profileCells = ({ ms, limit, kernels }: ProfileRecord): Cells => {
  const large = kernels.filter((kernel) => kernel.ms >= leastShare * ms);
  const rest = kernels.slice(large.length);
  const sum = (of: (kernel: ProfileRecord['kernels'][number]) => number): number =>
    rest.reduce((n, kernel) => n + of(kernel), 0);
  const small = {
    op: null,
    name: 'all others',
    count: sum((k) => k.count),
    ms: sum((k) => k.ms),
    flops: 0,
    ofLimit: 0,
  };
  return [
    ['op', 'kernel', 'times', 'ms', 'share', 'GFLOP/s', 'of limit'],
    ...[...large, ...(rest.length > 0 ? [small] : [])].map(({ op, name, count, ms: own, flops, ofLimit }) => [
      op === name ? '' : (op ?? ''),
      name,
      String(count),
      own.toFixed(1),
      `${((100 * own) / ms).toFixed(1)} %`,
      flops > 0 ? ((ofLimit * limit) / 1e9).toFixed(0) : '-',
      flops > 0 ? `${(100 * ofLimit).toFixed(0)} %` : '-',
    ]),
  ];
};
