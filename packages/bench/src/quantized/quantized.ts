import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { baseModelDir } from '@peftjs/base-model';
import { writeFileAtomic } from '@peftjs/io';
import { paths } from '../paths.ts';
import { quantizedPage } from './page.ts';
import { addOutcome, outcomeOf, readOutcomes } from './results.ts';
import { runs, settings } from './runs.ts';
import type { Tuned } from './tune.ts';

/** Where the task reads and writes, and how it runs. */
export interface QuantizedOptions {
  /** Folder of the model that is tuned. The page calls it by the folder's name. */
  readonly model: string;
  readonly threads: number;
  /** Folder of `quantized.jsonl`. */
  readonly out: string;
  /** Folder of the page. */
  readonly docs: string;
  say(text: string): void;
}

/** The page by its path in a folder of documents, from the outcomes in a folder of results. */
export const quantizedFiles = async (results: string): Promise<ReadonlyMap<string, string>> =>
  new Map([['quantized-tuning.md', quantizedPage(await readOutcomes(results))]]);

/** Makes the runs that are missing, each in a process of its own, and writes the page anew. */
export const quantized = async ({ model, threads, out, docs, say }: QuantizedOptions): Promise<void> => {
  await mkdir(out, { recursive: true });
  const label = model === baseModelDir() ? '@peftjs/base-model' : basename(model);
  for (const run of runs) {
    if (outcomeOf(await readOutcomes(out), label, run)) continue;
    const child = [join(paths.source, 'quantized/child.ts'), model, run.name, run.base, String(threads)];
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...['--conditions=@peftjs/source', '--import', 'tsx'],
      ...child,
    ]);
    const tuned = JSON.parse(stdout) as Tuned;
    const line = { model: label, name: run.name, of: run.base, ...settings, ...tuned };
    await addOutcome(out, line);
    say(`${run.name} over ${run.base}: ${tuned.before.toFixed(3)} -> ${tuned.after.toFixed(3)} (${tuned.seconds} s)`);
  }
  for (const [name, text] of await quantizedFiles(out)) await writeFileAtomic(join(docs, name), text);
};
