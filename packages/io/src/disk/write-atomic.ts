import { PeftError } from '@peftjs/tensor';
import type { FileContent } from '../files/file-content.ts';
import { unwritten } from '../files/file-errors.ts';
import { fromNode } from '../files/from-node.ts';
import { quote } from '../report.ts';
import { commit } from './journal.ts';
import { locked } from './lock.ts';
import { discard, flushFolder, flushMade, type Staged, stage, sweep } from './stage.ts';

const { mkdir, rename, rm, rmdir, stat } = fromNode('node:fs/promises');
const { basename, dirname, join, resolve } = fromNode('node:path');

/**
 * Writes a file so that at every moment, also after a crash, its path holds either what it held before or all of
 * `content`: written under a temporary name in the same folder, flushed to the disk, renamed. The mode of the old file is
 * kept; where the path is a link, what it leads to is replaced. If anything fails, the temporary file is removed and the
 * old file is untouched; what a killed process has left is removed by the next write of the same file.
 *
 * Throws `PeftError` `write-failed` with the cause; a `PeftError` of the content passes as it is.
 */
export const writeFileAtomic = async (path: string, content: FileContent): Promise<void> => {
  const { from, to } = await stage(path, content);
  try {
    await rename(from, to);
  } catch (cause) {
    await rm(from, { force: true });
    throw unwritten(path, cause);
  }
  await flushFolder(dirname(to));
  await sweep(dirname(to), basename(to));
};

/**
 * Writes several files of one folder that belong together. The last one is the mark: a folder is whole if it has the mark.
 * Names may lead into folders within, `a/weights`; the mark is on top. Other files in the folder are not touched.
 *
 * All files are first written and flushed under temporary names; an error up to there leaves the folder as it was, and
 * one that was made for this is removed. Then, under the folder's lock, a journal says what is to be renamed, the files
 * are renamed in order, the mark last, and the journal is removed. So a process killed at any moment leaves the old files,
 * or the new ones, some of them still under their temporary names: `settle` of `WritableFiles`, and the next writer, put them in
 * place.
 * Of two who write at once one comes after the other.
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
      staged.push(await stage(to, content));
    }
    if (made !== undefined) await flushMade(dir, made);
    for (const [folder, top] of inner) await flushMade(folder, top);
  } catch (cause) {
    await discard(staged);
    for (const [folder, top] of inner) await removeEmpty(folder, top);
    if (made !== undefined) await removeEmpty(dir, made);
    throw cause;
  }
  await locked(dir, async () => {
    await commit(dir, staged);
    for (const folder of new Set(staged.map(({ to }) => dirname(to)))) await sweep(folder);
  });
};

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
