import { unwritten } from '../files/file-errors.ts';
import { fromNode } from '../files/from-node.ts';
import { isObject } from '../json.ts';
import { locked } from './lock.ts';
import { ownerOfTemporary } from './owner.ts';
import { flushFolder, type Staged, stage } from './stage.ts';

const { lstat, readFile, rename, rm } = fromNode('node:fs/promises');
const { basename, dirname, isAbsolute, join, relative } = fromNode('node:path');

/**
 * The renames that are about to be made, as paths within the folder. Once this file is there, the new files are whole and count; whoever comes next
 * finishes what was cut short.
 */
const journalFile = '.peftjs.journal';
const largest = 2 ** 20;

interface Move {
  readonly from: string;
  readonly to: string;
}

/** A folder may come from anywhere: nothing is moved but temporary files of ours to their own names in the same folder. */
const isOwn = (value: unknown): value is Move => {
  if (!isObject(value)) return false;
  const { from, to } = value;
  if (typeof from !== 'string' || typeof to !== 'string') return false;
  const isWithin = !isAbsolute(to) && !to.split(/[/\\]/).includes('..');
  return isWithin && dirname(from) === dirname(to) && ownerOfTemporary(basename(from))?.of === basename(to);
};

const readJournal = async (dir: string): Promise<readonly Move[] | null> => {
  const path = join(dir, journalFile);
  const found = await lstat(path).catch(() => null);
  if (!found) return null;
  if (!found.isFile() || found.size > largest) return [];
  try {
    const json: unknown = JSON.parse(await readFile(path, 'utf8'));
    // It is renamed into place when it is whole, so anything else is not of ours.
    return Array.isArray(json) && json.every(isOwn) ? json : [];
  } catch {
    return [];
  }
};

const isLink = async (path: string): Promise<boolean> =>
  (await lstat(path).catch(() => null))?.isSymbolicLink() ?? false;

/** Renames what a journal lists, as far as that has not been done, and removes the journal. */
const finish = async (dir: string, moves: readonly Move[]): Promise<void> => {
  for (const [i, { from, to }] of moves.entries()) {
    // The last is the mark: every other file must have reached the disk before it says so.
    if (i === moves.length - 1)
      for (const folder of new Set(moves.map((move) => dirname(join(dir, move.to))))) await flushFolder(folder);
    if (await isLink(join(dir, to))) continue;
    await rename(join(dir, from), join(dir, to)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  await flushFolder(dir);
  await rm(join(dir, journalFile), { force: true });
};

/** Puts files in place that links lead to, which may lie elsewhere. */
const replaceLinked = async (staged: readonly Staged[]): Promise<void> => {
  for (const { from, to } of staged) {
    await rename(from, to);
    await flushFolder(dirname(to));
  }
};

/** Puts staged files in place: all of them or none, whenever the process is killed. To be run under the folder's lock. */
export const commit = async (dir: string, staged: readonly Staged[]): Promise<void> => {
  await recover(dir);
  const moves = staged
    .filter(({ isLinked }) => !isLinked)
    .map(({ from, to }) => ({ from: relative(dir, from), to: relative(dir, to) }));
  const own = await stage(join(dir, journalFile), JSON.stringify(moves));
  try {
    // Once the journal is there the new files count: their names must have reached the disk before it.
    for (const folder of new Set([dir, ...staged.map(({ to }) => dirname(to))])) await flushFolder(folder);
    await rename(own.from, own.to);
    await flushFolder(dir);
  } catch (cause) {
    await rm(own.from, { force: true });
    throw unwritten(dir, cause);
  }
  try {
    await replaceLinked(staged.slice(0, -1).filter(({ isLinked }) => isLinked));
    await finish(dir, moves);
    await replaceLinked(staged.slice(-1).filter(({ isLinked }) => isLinked));
  } catch (cause) {
    const state = 'The new files are whole beside the old ones: writing or reading the folder puts them in place';
    throw unwritten(dir, cause, state);
  }
};

/** Finishes what a killed process has left in a folder. To be run under the folder's lock. */
const recover = async (dir: string): Promise<void> => {
  const moves = await readJournal(dir);
  if (moves) await finish(dir, moves);
};

/** Readers wait for a commit, which takes milliseconds, not for one that does not come. */
const patience = 1000;

/** Whether a folder was being written; see `WritableFiles.settle`. */
export const settle = async (dir: string): Promise<boolean> => {
  if ((await readJournal(dir)) === null) return false;
  await locked(dir, () => recover(dir), patience).catch((cause: unknown) => {
    throw unwritten(dir, cause, 'It holds a save that was cut short; open it where it can be written to');
  });
  return true;
};
