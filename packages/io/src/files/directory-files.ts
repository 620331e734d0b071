import { isPeftError } from '@peftjs/tensor';
import { reasonOf } from '../report.ts';
import { bytesOf, type FileContent, piecesOf } from './file-content.ts';
import { missing, unread, unwritten } from './file-errors.ts';
import { joinPath, partsOf } from './file-path.ts';
import type { WritableFiles } from './files.ts';
import { openBlob, readBlob } from './open-blob.ts';

/** The part of a browser's `FileSystemDirectoryHandle` that is used. https://fs.spec.whatwg.org */
export interface DirectoryHandle {
  getDirectoryHandle(name: string, options?: { create?: boolean }): Promise<DirectoryHandle>;
  getFileHandle(name: string, options?: { create?: boolean }): Promise<FileHandleOfBrowser>;
  removeEntry(name: string): Promise<void>;
  entries(): AsyncIterable<[string, { readonly kind: 'file' | 'directory' }]>;
}

/** The part of a browser's `FileSystemFileHandle` that is used. */
export interface FileHandleOfBrowser {
  getFile(): Promise<Blob>;
  createWritable(): Promise<FileWriter>;
}

/** A browser's `FileSystemWritableFileStream`: what is written takes the place of the file when it is closed. */
export interface FileWriter {
  write(data: Uint8Array<ArrayBuffer>): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && (error.name === 'NotFoundError' || error.name === 'TypeMismatchError');

const whyAbsent = (error: unknown): string =>
  error instanceof Error && error.name === 'NotFoundError' ? 'there is no such file or folder' : reasonOf(error);

/** A folder of a browser: one that the user chose (`showDirectoryPicker()`), or one of the page's own (`opfsFiles`). */
export const directoryFiles = (
  handle: DirectoryHandle | (() => Promise<DirectoryHandle>),
  name = 'the folder',
): WritableFiles => {
  const top = typeof handle === 'function' ? handle : async () => handle;

  const folderOf = async (parts: readonly string[], create = false): Promise<DirectoryHandle> => {
    let folder = await top();
    for (const part of parts) folder = await folder.getDirectoryHandle(part, { create });
    return folder;
  };
  const handleOf = async (path: string, create = false): Promise<FileHandleOfBrowser> => {
    const parts = partsOf(name, path);
    const folder = await folderOf(parts.slice(0, -1), create);
    return folder.getFileHandle(parts.at(-1)!, { create });
  };
  const find = async (path: string): Promise<Blob | null> => {
    try {
      return await (await handleOf(path)).getFile();
    } catch (error) {
      if (isAbsent(error)) return null;
      throw unread(joinPath(name, path), error);
    }
  };
  const blobOf = async (path: string): Promise<Blob> => {
    const found = await find(path);
    if (found) return found;
    throw missing(joinPath(name, path), 'there is no such file');
  };

  /** Writes a content beside the file; nothing of it is seen before the writer is closed. */
  const stage = async (path: string, content: FileContent): Promise<FileWriter> => {
    let writer: FileWriter | undefined;
    try {
      writer = await (await handleOf(path, true)).createWritable();
      for await (const piece of piecesOf(content)) await writer.write(piece.slice());
      return writer;
    } catch (cause) {
      await writer?.abort().catch(() => {});
      throw unwritten(joinPath(name, path), cause);
    }
  };
  const remove = async (path: string): Promise<void> => {
    const parts = partsOf(name, path);
    const folder = await folderOf(parts.slice(0, -1));
    await folder.removeEntry(parts.at(-1)!);
  };

  const write = async (files: ReadonlyMap<string, FileContent>): Promise<void> => {
    const [mark, markContent] = [...files].at(-1)!;
    const staged: FileWriter[] = [];
    const made: string[] = [];
    let markBytes: Uint8Array;
    try {
      for (const [path, content] of [...files].slice(0, -1)) {
        // Asking for the handle makes an empty file.
        if (!(await find(path))) made.push(path);
        staged.push(await stage(path, content));
      }
      // A file that is being written can't be removed, so the mark waits in memory.
      markBytes = await bytesOf(markContent).catch((cause: unknown) => {
        throw unwritten(joinPath(name, mark), cause);
      });
    } catch (cause) {
      for (const writer of staged) await writer.abort().catch(() => {});
      for (const path of made) await remove(path).catch(() => {});
      throw cause;
    }
    try {
      if (staged.length > 0 && (await find(mark))) await remove(mark);
      for (const writer of staged) await writer.close();
    } catch (cause) {
      throw unwritten(name, cause, `There is no ${mark} now, so it does not count as whole: write it again`);
    }
    await (await stage(mark, markBytes)).close();
  };

  return {
    name,
    list: async (folder = '') => {
      const names: string[] = [];
      try {
        const found = await folderOf(folder === '' ? [] : partsOf(name, folder));
        for await (const [entry, { kind }] of found.entries()) names.push(kind === 'directory' ? `${entry}/` : entry);
      } catch (error) {
        throw isPeftError(error) ? error : missing(joinPath(name, folder), whyAbsent(error), error);
      }
      return names.sort();
    },
    size: async (path) => (await find(path))?.size ?? null,
    read: async (path, range) => readBlob(joinPath(name, path), await blobOf(path), range),
    open: async (path) => openBlob(joinPath(name, path), await blobOf(path)),
    write,
  };
};
