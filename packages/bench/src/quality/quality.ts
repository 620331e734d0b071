import { join } from 'node:path';
import { writeFileAtomic } from '@peftjs/io';
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

/** Makes the trials that are missing, or measures speeds, each kept as soon as it is there, and writes the page anew; how many methods failed. */
export const quality = async (options: QualityOptions): Promise<number> => {
  const { methods: names, speed, rounds, threads, out, docs, say } = options;
  const file = join(out, 'quality-speed.jsonl');
  const keep = async (fresh: Speed): Promise<void> => {
    const others = (await readLines<Speed>(file)).filter(({ method }) => method !== fresh.method);
    await writeFileAtomic(file, [...others, fresh].map((line) => `${JSON.stringify(line)}\n`).join(''));
  };
  const failed = speed
    ? await measureSpeeds(names, { rounds, threads, say, keep })
    : await runQuality(names, join(out, 'quality.jsonl'), { threads, say });
  const files = await qualityFiles(out);
  for (const [name, text] of files) await writeFileAtomic(join(docs, name), text);
  say(`written: ${[...files.keys()].join(', ')}`);
  return failed;
};
