import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** A folder for one run's results, named by its start. */
export const runFolder = (out: string, now: Date = new Date()): string =>
  join(out, now.toISOString().slice(0, 19).replaceAll(':', '-'));

/** Makes the folder for what `work` writes; if that fails the folder goes too, so a failed run leaves no trace. */
export const inNewFolder = async <T>(dir: string, work: () => Promise<T>): Promise<T> => {
  const first = await mkdir(dir, { recursive: true });
  try {
    return await work();
  } catch (error) {
    if (first) await rm(first, { recursive: true, force: true });
    throw error;
  }
};
