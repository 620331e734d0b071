import type { FileHandle } from 'node:fs/promises';
import { type FileContent, piecesOf } from '../files/file-content.ts';
import { unwritten } from '../files/file-errors.ts';
import { fromNode } from '../files/from-node.ts';
import { isGone, ownerOfTemporary, temporaryName } from './owner.ts';

const { open, readdir, readlink, rm, stat } = fromNode('node:fs/promises');
const { basename, dirname, join, resolve } = fromNode('node:path');

/** A file that is whole and flushed under a temporary name, and where it is to be. */
export interface Staged {
  readonly from: string;
  /** Where a link at the path leads, otherwise the path. */
  readonly to: string;
  readonly isLinked: boolean;
}

const mostLinks = 32;
const day = 24 * 60 * 60 * 1000;

/** Where a path leads: a link is followed, also one to nothing, so that it stays what it is. */
const followed = async (path: string): Promise<string> => {
  let at = path;
  for (let i = 0; i < mostLinks; i++) {
    const link = await readlink(at).catch(() => null);
    if (link === null) return at;
    at = resolve(dirname(at), link);
  }
  throw unwritten(path, new Error('its links lead round in a circle'));
};

/** Writes and flushes a content beside where a path leads, with the mode of what is there. Throws `write-failed`. */
export const stage = async (path: string, content: FileContent): Promise<Staged> => {
  const to = await followed(path);
  const from = join(dirname(to), temporaryName(basename(to)));
  let file: FileHandle;
  try {
    file = await open(from, 'wx');
  } catch (cause) {
    throw unwritten(path, cause);
  }
  try {
    for await (const piece of piecesOf(content)) await file.writeFile(piece);
    const old = await stat(to).catch(() => null);
    if (old?.isDirectory()) throw Object.assign(new Error('a folder is there'), { code: 'EISDIR' });
    if (old?.isFile()) await file.chmod(old.mode & 0o7777).catch(() => undefined);
    await file.sync();
    await file.close();
  } catch (cause) {
    await file.close().catch(() => undefined);
    await rm(from, { force: true });
    throw unwritten(path, cause);
  }
  return { from, to, isLinked: to !== path };
};

/** Removes what was staged. */
export const discard = async (staged: readonly Pick<Staged, 'from'>[]): Promise<void> => {
  for (const { from } of staged) await rm(from, { force: true });
};

/** Makes renames durable. Some systems cannot flush a folder; there the rename is still whole, only later. */
export const flushFolder = async (dir: string): Promise<void> => {
  const folder = await open(dir, 'r').catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
};

/** Makes a new folder durable that has been made with those above it, from `first` on. */
export const flushMade = async (dir: string, first: string): Promise<void> => {
  for (let at = resolve(dir); at.length >= resolve(first).length; at = dirname(at)) await flushFolder(dirname(at));
};

/** Removes temporary files in a folder whose writers have ended, of one file or of all. */
export const sweep = async (dir: string, name?: string): Promise<void> => {
  for (const entry of await readdir(dir).catch(() => [])) {
    const owner = ownerOfTemporary(entry);
    if (!owner || (name !== undefined && owner.of !== name)) continue;
    const path = join(dir, entry);
    // Of another machine's process it can't be told.
    const isOld = async (): Promise<boolean> => Date.now() - ((await stat(path).catch(() => null))?.mtimeMs ?? 0) > day;
    if (isGone(owner) || (await isOld())) await rm(path, { force: true }).catch(() => undefined);
  }
};
