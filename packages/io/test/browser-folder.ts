import type { DirectoryHandle, FileHandleOfBrowser } from '../src/files/directory-files.ts';
import { joined } from '../src/files/file-content.ts';

class Refusal extends Error {
  constructor(name: string) {
    super(name);
    this.name = name;
  }
}

/** A folder of a browser in memory, with the rules of https://fs.spec.whatwg.org: an entry that is being written can't be removed. */
export const browserFolder = (): DirectoryHandle & { readonly files: Map<string, Blob> } => {
  const files = new Map<string, Blob>();
  const folders = new Map<string, DirectoryHandle>();
  const writing = new Set<string>();
  const fileHandle = (name: string): FileHandleOfBrowser => ({
    getFile: async () => {
      const found = files.get(name);
      if (!found) throw new Refusal('NotFoundError');
      return found;
    },
    createWritable: async () => {
      if (writing.has(name)) throw new Refusal('NoModificationAllowedError');
      writing.add(name);
      const pieces: Uint8Array[] = [];
      return {
        write: async (data) => void pieces.push(data),
        close: async () => {
          writing.delete(name);
          files.set(name, new Blob([joined(pieces)]));
        },
        abort: async () => void writing.delete(name),
      };
    },
  });
  return {
    files,
    getDirectoryHandle: async (name, { create = false } = {}) => {
      if (files.has(name)) throw new Refusal('TypeMismatchError');
      if (!folders.has(name) && !create) throw new Refusal('NotFoundError');
      return folders.get(name) ?? folders.set(name, browserFolder()).get(name)!;
    },
    getFileHandle: async (name, { create = false } = {}) => {
      if (folders.has(name)) throw new Refusal('TypeMismatchError');
      if (!files.has(name) && !create) throw new Refusal('NotFoundError');
      if (!files.has(name)) files.set(name, new Blob([]));
      return fileHandle(name);
    },
    removeEntry: async (name) => {
      if (writing.has(name)) throw new Refusal('NoModificationAllowedError');
      if (!files.delete(name) && !folders.delete(name)) throw new Refusal('NotFoundError');
    },
    async *entries() {
      for (const name of files.keys()) yield [name, { kind: 'file' }];
      for (const name of folders.keys()) yield [name, { kind: 'directory' }];
    },
  };
};
