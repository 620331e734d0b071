import type { FileHandle } from 'node:fs/promises';
import { PeftError } from '@peftjs/tensor';
import { type FileContent, piecesOf } from './files/file-content.ts';
import { unwritten } from './files/file-errors.ts';
import { fromNode } from './files/from-node.ts';
import { quote } from './report.ts';

const { mkdir, open, rename, rm, rmdir, stat } = fromNode('node:fs/promises');
const { basename, dirname, join, resolve } = fromNode('node:path');
const { randomBytes } = fromNode('node:crypto');

/**
 * Writes a file so that at every moment, also after a crash, its path holds either what it held before or all of
 * `content`: written under a temporary name `.<name>.<random>.tmp` in the same folder, flushed to the disk, renamed.
 * If anything fails, the temporary file is removed and the old file is untouched. Only a killed process leaves a
 * temporary file.
 *
 * Throws `PeftError` `write-failed` with the cause; a `PeftError` of the content passes as it is.
 */
export const writeFileAtomic = async (path: string, content: FileContent): Promise<void> => {
  const staged = await stage(path, content);
  try {
    await rename(staged, path);
  } catch (cause) {
    await rm(staged, { force: true });
    throw unwritten(path, cause);
  }
  await flushFolder(dirname(path));
};

/**
 * Writes several files of one folder that belong together. The last one is the mark: a folder is whole if, and only if,
 * it has the mark, so readers must open that file first. Names may lead into folders within, `a/weights`; the mark is on top.
 *
 * All files are first written and flushed under temporary names; an error up to there leaves the folder as it was, and
 * one that was made for this is removed. Then an old mark is removed, the files are renamed in order, the mark last. So
 * a process killed at any moment leaves the old files, or a folder without its mark, or the new files. Other files in
 * the folder are not touched.
 *
 * Throws `PeftError` `write-failed` with the cause; a `PeftError` of the content passes as it is.
 */
export const writeDirAtomic = async (dir: string, files: ReadonlyMap<string, FileContent>): Promise<void> => {
  await checkNames(dir, [...files.keys()]);
  const made = await mkdir(dir, { recursive: true }).catch((cause: unknown) => {
    throw unwritten(dir, cause);
  });
  const staged: Staged[] = [];
  const inner: [folder: string, top: string][] = [];
  try {
    for (const [name, content] of files) {
      const to = join(dir, name);
      const madeInner = await mkdir(dirname(to), { recursive: true }).catch((cause: unknown) => {
        throw unwritten(to, cause);
      });
      if (madeInner !== undefined) inner.push([dirname(to), madeInner]);
      staged.push({ from: await stage(to, content), to });
    }
  } catch (cause) {
    await discard(staged);
    for (const [folder, top] of inner) await removeEmpty(folder, top);
    if (made !== undefined) await removeEmpty(dir, made);
    throw cause;
  }
  await commit(dir, staged);
};

interface Staged {
  readonly from: string;
  readonly to: string;
}

const checkNames = async (dir: string, names: readonly string[]): Promise<void> => {
  if (names.length === 0) throw new PeftError('bad-option', `${dir}: no files to write were given.`);
  for (const name of names) {
    const parts = name.split('/');
    const isMark = name === names.at(-1);
    if (
      parts.some((part) => part !== basename(part) || part === '' || part === '.' || part === '..') ||
      (isMark && parts.length > 1)
    )
      throw new PeftError('bad-option', `${dir}: ${quote(name)} is not a plain file name.`);
    const found = await stat(join(dir, name)).catch(() => undefined);
    if (found?.isDirectory())
      throw new PeftError(
        'write-failed',
        `${join(dir, name)}: is a folder where a file is to be written. Move it away.`,
      );
  }
};

const commit = async (dir: string, staged: readonly Staged[]): Promise<void> => {
  const mark = staged.at(-1)!.to;
  try {
    await rm(mark, { force: true });
    for (const { from, to } of staged) {
      // Every other file must have reached the disk before the mark says so.
      if (to === mark) for (const folder of new Set(staged.map((s) => dirname(s.to)))) await flushFolder(folder);
      await rename(from, to);
    }
  } catch (cause) {
    await discard(staged);
    const state = `The folder has no ${basename(mark)} now and does not count as whole: write it again`;
    throw unwritten(dir, cause, state);
  }
  await flushFolder(dir);
};

const discard = async (staged: readonly Staged[]): Promise<void> => {
  for (const { from } of staged) await rm(from, { force: true });
};

/** Writes and flushes the content beside `path` and gives back the temporary name. */
const stage = async (path: string, content: FileContent): Promise<string> => {
  const staged = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  let file: FileHandle;
  try {
    file = await open(staged, 'wx');
  } catch (cause) {
    throw unwritten(path, cause);
  }
  try {
    for await (const piece of piecesOf(content)) await file.writeFile(piece);
    await file.sync();
    await file.close();
  } catch (cause) {
    await file.close().catch(() => undefined);
    await rm(staged, { force: true });
    throw unwritten(path, cause);
  }
  return staged;
};

/** Makes renames durable. Some systems cannot flush a folder; there the rename is still whole, only later. */
const flushFolder = async (dir: string): Promise<void> => {
  const folder = await open(dir, 'r').catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
};

/** Removes `dir` and its parents up to `top`, as far as they are empty. */
const removeEmpty = async (dir: string, top: string): Promise<void> => {
  for (let at = resolve(dir); at.length >= resolve(top).length; at = dirname(at)) {
    const removed = await rmdir(at).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
};
