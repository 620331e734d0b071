import { unwritten } from '../files/file-errors.ts';
import { fromNode } from '../files/from-node.ts';
import { discard, stage } from './stage.ts';

const { copyFile, link, rename, rm } = fromNode('node:fs/promises');

const isAbsent = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** Does something with a file, if it is there. */
const ifThere = async (work: Promise<void>): Promise<void> => {
  await work.catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
  });
};

/** Throws `write-failed` where a file could not be written; nothing is left of the attempt. */
export const tryWriting = async (path: string): Promise<void> => discard([await stage(path, new Uint8Array(1))]);

/**
 * Gives a file the name `<path>.1` too, the one that had it `<path>.2`, and so on up to `count`: the next write of the path leaves them there. The
 * path itself holds the file at every moment. Throws `write-failed`.
 */
export const keepVersions = async (path: string, count: number): Promise<void> => {
  if (count < 1) return;
  try {
    for (let i = count - 1; i >= 1; i--) await ifThere(rename(`${path}.${i}`, `${path}.${i + 1}`));
    await rm(`${path}.1`, { force: true });
    // Some file systems have no second names.
    await ifThere(
      link(path, `${path}.1`).catch((error) => (isAbsent(error) ? undefined : copyFile(path, `${path}.1`))),
    );
  } catch (cause) {
    throw unwritten(path, cause);
  }
};
