import { mkdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** Makes a folder for a run that begins at a time: named by it, with a number after it where another run has taken that. */
export const newFolder = async (out: string, now: Date): Promise<string> => {
  const name = resolve(join(out, now.toISOString().slice(0, 19).replaceAll(':', '-')));
  for (let i = 1; ; i++) {
    const dir = i === 1 ? name : `${name}-${i}`;
    try {
      await mkdir(dir);
      return dir;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
};

/** Removes a folder and those above it up to `first`, as far as they are empty: another run may have written into one of them since. */
const removeEmpty = async (dir: string, first: string): Promise<void> => {
  const isGone = await rmdir(dir).then(
    () => true,
    () => false,
  );
  if (isGone && dir !== first) await removeEmpty(dirname(dir), first);
};

/** Makes a folder of its own for a run's results, named by its start; if `work` fails the folder goes, so a failed run leaves no trace. */
export const inNewFolder = async <T>(
  out: string,
  work: (dir: string) => Promise<T>,
  now: Date = new Date(),
): Promise<T> => {
  const first = await mkdir(out, { recursive: true });
  const dir = await newFolder(out, now);
  try {
    return await work(dir);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    if (first) await removeEmpty(resolve(out), resolve(first));
    throw error;
  }
};
