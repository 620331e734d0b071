import type { FileHandle } from 'node:fs/promises';
import { settle } from '../disk/journal.ts';
import { keepVersions, tryWriting } from '../disk/versions.ts';
import { writeDirAtomic, writeFileAtomic } from '../disk/write-atomic.ts';
import { reasonOf } from '../report.ts';
import { missing, unread } from './file-errors.ts';
import { joinPath, partsOf } from './file-path.ts';
import type { ByteRange, OpenFile, WritableFiles } from './files.ts';
import { fromNode } from './from-node.ts';

const { open, readdir, stat } = fromNode('node:fs/promises');
const { dirname } = fromNode('node:path');

const longestRead = 2 ** 30;

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

const sizeOf = async (path: string): Promise<number | null> => {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : null;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw unread(path, error);
  }
};

const isFolder = async (path: string): Promise<boolean> => {
  const found = await stat(path).catch(() => null);
  return found?.isDirectory() ?? false;
};

const openHandle = async (path: string): Promise<FileHandle> => {
  try {
    // Opening a named pipe would wait for ever, so what it is comes first.
    if (!(await stat(path)).isFile()) throw new Error('it is not a file');
    return await open(path, 'r');
  } catch (cause) {
    throw missing(path, reasonOf(cause), cause);
  }
};

const fill = async (path: string, handle: FileHandle, at: number, into: Uint8Array): Promise<number> => {
  let done = 0;
  while (done < into.length) {
    const wanted = Math.min(into.length - done, longestRead);
    const { bytesRead } = await handle.read(into, done, wanted, at + done).catch((cause: unknown) => {
      throw unread(path, cause, at + done);
    });
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
};

const openFile = async (path: string): Promise<OpenFile> => {
  const handle = await openHandle(path);
  const { size, ino, mtimeMs } = await handle.stat();
  const version = `${ino} ${mtimeMs}`;
  return { size, version, holds: true, read: (at, into) => fill(path, handle, at, into), close: () => handle.close() };
};

const readFile = async (path: string, { start = 0, end = Number.POSITIVE_INFINITY }: ByteRange = {}) => {
  const file = await openFile(path);
  try {
    const bytes = new Uint8Array(Math.max(0, Math.min(end, file.size) - start));
    return bytes.subarray(0, await file.read(start, bytes));
  } finally {
    await file.close();
  }
};

/** A folder on disk. What is written is whole or not there at every moment, also after a crash: see `writeDirAtomic`. */
export const diskFiles = (dir: string): WritableFiles => {
  const pathOf = (path: string): string => joinPath(dir, partsOf(dir, path).join('/'));
  return {
    name: dir,
    list: async (folder = '') => {
      const path = folder === '' ? dir : pathOf(folder);
      const entries = await readdir(path || '.', { withFileTypes: true }).catch((cause: unknown) => {
        throw missing(path, reasonOf(cause), cause);
      });
      return entries.map((e) => (e.isDirectory() ? `${e.name}/` : e.name)).sort();
    },
    size: async (path) => sizeOf(pathOf(path)),
    read: async (path, range) => readFile(pathOf(path), range),
    open: async (path) => openFile(pathOf(path)),
    settle: () => settle(dir),
    attempt: (path) => tryWriting(pathOf(path)),
    keep: (path, count) => keepVersions(pathOf(path), count),
    write: async (files) => {
      const [only] = files;
      // A single file needs no mark, only its folder.
      const isAlone = only !== undefined && files.size === 1 && (await isFolder(dirname(pathOf(only[0]))));
      return isAlone ? writeFileAtomic(pathOf(only[0]), only[1]) : writeDirAtomic(dir, files);
    },
  };
};
