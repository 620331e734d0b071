import { createHash } from 'node:crypto';
import { access, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
import type { DemoOptions } from './options.ts';
import type { DemoResult } from './outcome.ts';

/** A comparison that is not at its end: the folder of its results, and the methods that are done. */
export interface KeptRuns {
  readonly dir: string;
  readonly runs: readonly DemoResult[];
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Place, size and time of a file, by which one that has changed is told; nothing where it is not there, which the runs say. */
const markOf = async (path: string): Promise<readonly unknown[]> => {
  try {
    const { size, mtimeMs } = await stat(path);
    return [path, size, mtimeMs];
  } catch {
    return [];
  }
};

/** The options of a comparison that are those of its runs. */
export const ofRuns = (options: DemoOptions): Partial<DemoOptions> => {
  const { task: _t, method: _m, compare: _c, shots: _s, full: _f, json: _j, out: _o, ...own } = options;
  return own;
};

/** The file of a comparison that was cut short: the same command finds it. Other methods or options, another text or model have another. */
export const keptFile = async (names: readonly string[], options: DemoOptions): Promise<string> => {
  const { out, data, model } = options;
  const paths = data === undefined ? [] : [data];
  if (model !== undefined) for (const name of await readdir(model).catch(() => [])) paths.push(join(model, name));
  const marks = await Promise.all(paths.sort().map(markOf));
  const all = [names, Object.entries(ofRuns(options)).sort(), marks];
  const hash = createHash('sha256').update(JSON.stringify(all));
  return join(out, `unfinished-${hash.digest('hex').slice(0, 12)}.json`);
};

/** The content of such a file, as far as the results are still there; null where the folder is not. */
export const readKept = async (file: string): Promise<KeptRuns | null> => {
  if (!(await isThere(file))) return null;
  const { dir, runs } = JSON.parse(await readFile(file, 'utf8')) as KeptRuns;
  if (!(await isThere(dir))) return null;
  const whole = await Promise.all(
    runs.map(async (run) => (await isThere(run.losses)) && (await isThere(run.adapterDir))),
  );
  return { dir, runs: runs.filter((_, i) => whole[i]) };
};

/** Writes it, whole or not at all. */
export const keepRuns = (file: string, kept: KeptRuns): Promise<void> =>
  writeFileAtomic(file, `${JSON.stringify(kept)}\n`);

/** Removes it, once there is a table. */
export const forgetRuns = (file: string): Promise<void> => rm(file, { force: true });
