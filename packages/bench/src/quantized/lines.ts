import { writeFileAtomic } from '@peftjs/io';
import { readLines } from '../quality/trials.ts';

/** Outcomes of runs in a file, a line of JSON each. */
export interface Lines<T> {
  /** Those that were made as runs are made now. */
  read(): Promise<T[]>;
  /** Adds one; a line that was cut short goes. */
  add(outcome: T): Promise<void>;
}

/** The outcomes in a file, which need not be there yet; each line holds the settings of its run. */
export const linesOf = <T>(file: string, settings: Readonly<Partial<T>>): Lines<T> => ({
  read: async () =>
    (await readLines<T>(file)).filter((line) =>
      Object.entries(settings).every(([key, value]) => line[key as keyof T] === value),
    ),
  add: async (outcome) => {
    const all = [...(await readLines<T>(file)), outcome];
    await writeFileAtomic(file, all.map((line) => `${JSON.stringify(line)}\n`).join(''));
  },
});
