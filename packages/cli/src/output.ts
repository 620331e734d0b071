import { existsSync, realpathSync } from 'node:fs';
import { mkdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { PeftError } from '@peftjs/tensor';

/** The reason why a file can't be read, in words where Node has a code. */
export const reasonOf = (cause: unknown): string =>
  ({ ENOENT: 'there is no such file', EISDIR: 'it is a folder', EACCES: 'it may not be read' })[
    (cause as NodeJS.ErrnoException).code ?? ''
  ] ?? (cause as Error).message;

/** Makes a folder, with those above it. Throws `bad-option` where it can't be, as where a file has its name. */
export const folderFor = async (out: string): Promise<void> => {
  try {
    await mkdir(out, { recursive: true });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'EEXIST' || code === 'ENOTDIR' ? 'a file stands there' : (cause as Error).message;
    throw new PeftError('bad-option', `${out}: no folder can be made: ${why}`, { cause });
  }
};

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

/** A path as the file system knows it, through links where there is such a file. */
const placeOf = (path: string): string => (existsSync(path) ? realpathSync(path) : resolve(path));

/** Throws `bad-option` where what is written would stand over what is read: an adapter or a run, or the base that it changes, over which it would act twice. */
export const checkApart = (who: string, from: string, out: string): void => {
  if (placeOf(from) !== placeOf(out)) return;
  throw new PeftError('bad-option', `${who}: ${out} is what is read; give another folder to write to`);
};
