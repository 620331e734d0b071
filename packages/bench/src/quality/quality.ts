import { join } from 'node:path';
import { methods } from '@peftjs/cli/shared';
import { writeFileAtomic } from '@peftjs/io';
import { leftOut } from './methods.ts';
import { qualityPage } from './page.ts';
import { runQuality } from './run-quality.ts';
import { measureSpeeds, type Speed } from './speed.ts';
import { readLines, type Trial } from './trials.ts';

/** Files of the page by their path in a folder of documents, from the trials and speeds in a folder of results. */
export const qualityFiles = async (results: string): Promise<ReadonlyMap<string, string>> => {
  const trials = await readLines<Trial>(join(results, 'quality.jsonl'));
  const { text, figure } = qualityPage(trials, await readLines<Speed>(join(results, 'quality-speed.jsonl')));
  return new Map([
    ['quality.md', text],
    ['quality.svg', figure],
  ]);
};

/** Methods that the task tries: all that have something to learn from a text alone, those that fold into the weights first. */
export const tried = (): string[] =>
  [...methods.values()]
    .sort((a, b) => Number(b.merges) - Number(a.merges))
    .map(({ name }) => name)
    .filter((name) => !(name in leftOut));

/** Where the task reads and writes, and how it runs. */
export interface QualityOptions {
  /** Methods to try. */
  readonly methods: readonly string[];
  /** Measure speeds instead of losses. */
  readonly speed: boolean;
  readonly rounds: number;
  readonly threads: number;
  /** Folder of `quality.jsonl` and `quality-speed.jsonl`. */
  readonly out: string;
  /** Folder of the page. */
  readonly docs: string;
  say(text: string): void;
}

/** Makes the trials that are missing, or measures speeds, and writes the page anew; how many methods failed. */
export const quality = async (options: QualityOptions): Promise<number> => {
  const { methods: names, speed, rounds, threads, out, docs, say } = options;
  let failed = 0;
  if (speed) {
    const fresh = await measureSpeeds(names, { rounds, threads, say });
    failed = names.length - fresh.length;
    const file = join(out, 'quality-speed.jsonl');
    const kept = (await readLines<Speed>(file)).filter(({ method }) => !fresh.some((own) => own.method === method));
    await writeFileAtomic(file, [...kept, ...fresh].map((line) => `${JSON.stringify(line)}\n`).join(''));
  } else failed = await runQuality(names, join(out, 'quality.jsonl'), { threads, say });
  const files = await qualityFiles(out);
  for (const [name, text] of files) await writeFileAtomic(join(docs, name), text);
  say(`written: ${[...files.keys()].join(', ')}`);
  return failed;
};
