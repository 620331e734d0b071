import { PeftError } from '@peftjs/tensor';
import { sameBytes } from './file-content.ts';
import type { Files, WritableFiles } from './files.ts';

const tries = 100;

const wait = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

/**
 * Reads several files that belong together while others may be writing them: again, until the marks, files of which at least one changes with
 * every write, are after reading what they were before. What was cut short in writing is finished first. Throws what the action throws, and
 * `read-failed` where the files don't come to rest.
 */
export const steady = async <T>(files: Files, marks: readonly string[], action: () => Promise<T>): Promise<T> => {
  // Where nothing can be written, as at a URL, there is nothing to tell it by.
  if (!('write' in files)) return action();
  const { settle = async () => false } = files as WritableFiles;
  const marksNow = async (): Promise<readonly (Uint8Array | null)[]> =>
    Promise.all(
      marks.map(async (path) => ((await files.size(path)) === null ? null : files.read(path).catch(() => null))),
    );
  for (let attempt = 0; attempt < tries; attempt++) {
    await settle();
    const before = await marksNow();
    const outcome = await action().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    // In this order: a write that has begun before is either still under way, or has changed a mark.
    const isUnderWay = await settle();
    const after = await marksNow();
    if (isUnderWay || !before.every((bytes, i) => sameBytes(bytes, after[i]!))) {
      await wait(attempt);
      continue;
    }
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  }
  throw new PeftError('read-failed', `${files.name}: is being written all the time. Try again once that is done.`);
};
