import { PeftError } from '@peftjs/tensor';
import { unwritten } from '../files/file-errors.ts';
import { fromNode } from '../files/from-node.ts';
import { isObject } from '../json.ts';
import { isGone, type Owner, self } from './owner.ts';

const { open, readFile, rm, stat } = fromNode('node:fs/promises');
const { join } = fromNode('node:path');

const lockFile = '.peftjs.lock';
/** A commit takes milliseconds; what has been locked for so long was left, also where that can't be told of the process. */
const longest = 60_000;
const pause = 10;

const wait = (ms: number): Promise<void> => new Promise((wake) => setTimeout(wake, ms));

const create = async (path: string): Promise<boolean> => {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(JSON.stringify(self));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
};

const ownerOf = async (path: string): Promise<Owner | null> => {
  try {
    const json: unknown = JSON.parse(await readFile(path, 'utf8'));
    return isObject(json) && typeof json['host'] === 'string' && typeof json['pid'] === 'number'
      ? (json as unknown as Owner)
      : null;
  } catch {
    return null;
  }
};

/** Whether nobody holds a lock any more: its process has ended, or it is very old. */
const isLeft = async (path: string): Promise<boolean> => {
  const owner = await ownerOf(path);
  const age = Date.now() - ((await stat(path).catch(() => null))?.mtimeMs ?? Date.now());
  // A lock without an owner is being written, or its writer was killed just then.
  return age > longest || (owner ? isGone(owner) : age > 1000);
};

/** Removes a lock that was left. Two who see that at once must not remove the lock that the first has made since. */
const takeOver = async (path: string): Promise<void> => {
  const breaking = `${path}.breaking`;
  if (!(await create(breaking))) {
    const age = Date.now() - ((await stat(breaking).catch(() => null))?.mtimeMs ?? Date.now());
    if (age > 5000) await rm(breaking, { force: true });
    return;
  }
  try {
    if (await isLeft(path)) await rm(path, { force: true });
  } finally {
    await rm(breaking, { force: true });
  }
};

/**
 * Runs an action that no other process, and nothing else here, runs in the same folder at the same time. Waits for others; what a killed
 * process has left is taken over. Throws `write-failed` where it has waited for so many milliseconds, or the folder can't be written to.
 */
export const locked = async <T>(dir: string, action: () => Promise<T>, patience: number = 2 * longest): Promise<T> => {
  const path = join(dir, lockFile);
  try {
    for (const start = Date.now(); !(await create(path)); await wait(pause)) {
      if (await isLeft(path)) await takeOver(path);
      else if (Date.now() - start > patience)
        throw new PeftError(
          'write-failed',
          `${dir}: another process is writing it and keeps it locked. Try again, or remove ${lockFile} if there is none.`,
        );
    }
  } catch (cause) {
    throw unwritten(dir, cause);
  }
  try {
    return await action();
  } finally {
    await rm(path, { force: true });
  }
};
