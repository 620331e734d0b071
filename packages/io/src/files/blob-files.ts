import { missing } from './file-errors.ts';
import { childrenOf, joinPath, partsOf } from './file-path.ts';
import type { Files } from './files.ts';
import { openBlob, readBlob } from './open-blob.ts';

/** A `File` of a browser: of `<input type="file">`, or dropped. */
export type NamedBlob = Blob & { readonly name: string; readonly webkitRelativePath?: string };

/** Where the files of a chosen folder lie in it: they are told with its own name in front. */
const pathOf = ({ name, webkitRelativePath: path }: NamedBlob): string => (path ? path.replace(/^[^/]*\//, '') : name);

/**
 * Files that are Blobs: those that a user chose in a page (`input.files`, with `webkitdirectory` a whole folder), or Blobs by path. Nothing
 * is read before it is asked for.
 */
export const blobFiles = (blobs: ReadonlyMap<string, Blob> | Iterable<NamedBlob>, name = 'the chosen files'): Files => {
  const byPath = new Map<string, Blob>(
    blobs instanceof Map ? blobs : [...(blobs as Iterable<NamedBlob>)].map((file) => [pathOf(file), file]),
  );
  for (const path of byPath.keys()) partsOf(name, path);
  const find = (path: string): Blob => {
    partsOf(name, path);
    const found = byPath.get(path);
    if (found) return found;
    throw missing(joinPath(name, path), 'there is no such file');
  };
  return {
    name,
    list: async (folder = '') => {
      const names = childrenOf(byPath.keys(), folder);
      if (names) return names;
      throw missing(joinPath(name, folder), 'there is no such folder');
    },
    size: async (path) => {
      partsOf(name, path);
      return byPath.get(path)?.size ?? null;
    },
    read: async (path, range) => readBlob(joinPath(name, path), find(path), range),
    open: async (path) => openBlob(joinPath(name, path), find(path)),
  };
};
