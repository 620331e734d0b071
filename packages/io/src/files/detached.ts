import { unread } from './file-errors.ts';
import { joinPath } from './file-path.ts';
import type { Files, OpenFile } from './files.ts';

/**
 * The same files, where an open one holds nothing of the system: each read opens it anew. For readers that are kept as long as a model is,
 * and never closed. A file that is another one by then is `read-failed`.
 */
export const detached = (files: Files): Files => ({
  ...files,
  open: async (path) => {
    const first = await files.open(path);
    if (!first.holds) return first;
    const { size, version } = first;
    await first.close();
    const once = async <T>(task: (file: OpenFile) => Promise<T>): Promise<T> => {
      const file = await files.open(path);
      try {
        if (file.size === size && file.version === version) return await task(file);
        const change =
          file.size === size
            ? 'it was written anew since it was opened'
            : `it had ${size} bytes when it was opened, it has ${file.size} now`;
        throw unread(joinPath(files.name, path), change);
      } finally {
        await file.close();
      }
    };
    return { size, read: (at, into) => once((file) => file.read(at, into)), close: async () => {} };
  },
});
