import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { writeFileAtomic } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';
import type { RunConfig } from '../config/schema.ts';
import type { Choices, Point } from './plan.ts';

/** A trial as it is kept. */
export interface KeptTrial {
  readonly point: Point;
  readonly loss: number | null;
  readonly parameters: number;
}

/** All that must be the same for a search to go on. */
export interface Setup {
  readonly config: RunConfig;
  readonly choices: Choices;
  readonly efforts: readonly number[];
  readonly factor: number;
  readonly candidates: number | null;
}

/** Names of the files of a search. */
const names = {
  setup: 'search.json',
  trials: 'trials.jsonl',
  runs: 'runs',
  page: 'search.html',
  figure: 'search.svg',
  config: 'best.yaml',
  adapter: 'adapter',
} as const;

/** The files of a search. */
export const searchFiles = (dir: string): Readonly<Record<keyof typeof names, string>> => ({
  setup: join(dir, names.setup),
  trials: join(dir, names.trials),
  runs: join(dir, names.runs),
  page: join(dir, names.page),
  figure: join(dir, names.figure),
  config: join(dir, names.config),
  adapter: join(dir, names.adapter),
});

const read = async (file: string): Promise<string | null> => {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
};

/** Trials in the lines of a file; the last line may be cut off where the search was killed while it was written. */
const trialsIn = (text: string, file: string): readonly KeptTrial[] => {
  const lines = text.split('\n').filter(Boolean);
  return lines.flatMap((line, i): readonly KeptTrial[] => {
    try {
      return [JSON.parse(line)];
    } catch (cause) {
      if (i === lines.length - 1) return [];
      throw new PeftError('bad-data', `${file} line ${i + 1}: is not JSON; name another folder with --folder`, {
        cause,
      });
    }
  });
};

/**
 * Opens the folder of a search: a new one, or one that goes on, with the trials that it has. Throws `bad-option` for the folder of a search with other choices.
 */
export const openSearch = async (dir: string, setup: Setup): Promise<readonly KeptTrial[]> => {
  const files = searchFiles(dir);
  const own = JSON.parse(JSON.stringify(setup)) as unknown;
  const before = await read(files.setup);
  await mkdir(dir, { recursive: true });
  if (before === null) {
    await writeFileAtomic(files.setup, `${JSON.stringify(own, null, 2)}\n`);
    return [];
  }
  if (!isDeepStrictEqual(JSON.parse(before), own))
    throw new PeftError(
      'bad-option',
      `search: ${dir} holds a search with another run or other choices, see ${files.setup}; name another folder with --folder, or remove it`,
    );
  const trials = trialsIn((await read(files.trials)) ?? '', files.trials);
  // Without the line that was cut off.
  await writeFileAtomic(files.trials, trials.map((trial) => `${JSON.stringify(trial)}\n`).join(''));
  return trials;
};

/** Adds a trial. */
export const keepTrial = (dir: string, trial: KeptTrial): Promise<void> =>
  appendFile(searchFiles(dir).trials, `${JSON.stringify(trial)}\n`);
