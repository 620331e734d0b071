import { bytesOf, type FileContent } from './file-content.ts';
import { missing, unwritten } from './file-errors.ts';
import { childrenOf, joinPath, partsOf } from './file-path.ts';
import type { WritableFiles } from './files.ts';

/** Files in memory: for tests, and for what is made to be sent on, as an adapter that a page offers for download. */
export const memoryFiles = (
  content: ReadonlyMap<string, Uint8Array | string> = new Map(),
  name = 'memory',
): WritableFiles => {
  const byPath = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [path, bytes] of content) {
    partsOf(name, path);
    byPath.set(path, typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes.slice());
  }
  const find = (path: string): Uint8Array<ArrayBuffer> => {
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
      return byPath.get(path)?.length ?? null;
    },
    read: async (path, { start = 0, end = Number.POSITIVE_INFINITY } = {}) => find(path).slice(start, end),
    open: async (path) => {
      const bytes = find(path);
      const read = async (at: number, into: Uint8Array): Promise<number> => {
        const part = bytes.subarray(at, at + into.length);
        into.set(part);
        return part.length;
      };
      return { size: bytes.length, read, close: async () => {} };
    },
    write: async (files: ReadonlyMap<string, FileContent>) => {
      const whole: [path: string, bytes: Uint8Array<ArrayBuffer>][] = [];
      for (const [path, content] of files) {
        partsOf(name, path);
        const bytes = await bytesOf(content).catch((cause: unknown) => {
          throw unwritten(joinPath(name, path), cause);
        });
        whole.push([path, bytes]);
      }
      for (const [path, bytes] of whole) byPath.set(path, bytes);
    },
  };
};
