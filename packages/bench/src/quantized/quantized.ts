import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { writeFileAtomic } from '@peftjs/io';
import { int8Section } from '../int8/page.ts';
import { outcomesIn } from '../int8/results.ts';
import { inChild } from './in-child.ts';
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
export const quantizedFiles = async (results: string): Promise<ReadonlyMap<string, string>> => {
  const { runs: own, gradients } = outcomesIn(results);
  const page = quantizedPage(await readOutcomes(results)) + int8Section(await own.read(), await gradients.read());
  return new Map([['quantized-tuning.md', page]]);
};

/** Makes the runs that are missing, each in a process of its own, and writes the page anew. */
export const quantized = async ({ model, threads, out, docs, say }: QuantizedOptions): Promise<void> => {
  await mkdir(out, { recursive: true });
  const label = model === baseModelDir() ? '@peftjs/base-model' : basename(model);
  for (const run of runs) {
    if (outcomeOf(await readOutcomes(out), label, run)) continue;
    const tuned = await inChild<Tuned>('quantized/child.ts', [model, run.name, run.base, String(threads)]);
    const line = { model: label, name: run.name, of: run.base, ...settings, ...tuned };
    await addOutcome(out, line);
    say(`${run.name} over ${run.base}: ${tuned.before.toFixed(3)} -> ${tuned.after.toFixed(3)} (${tuned.seconds} s)`);
  }
  for (const [name, text] of await quantizedFiles(out)) await writeFileAtomic(join(docs, name), text);
};
