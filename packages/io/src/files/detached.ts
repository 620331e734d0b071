import { unread } from './file-errors.ts';
import { joinPath } from './file-path.ts';
import type { Files, OpenFile } from './files.ts';

/**
 * The same files, where an open one holds nothing of the system: each read opens it anew. For readers that are kept as long as a model is,
 * and never closed. A file that has another size by then is `read-failed`.
 */
export const detached = (files: Files): Files => ({
  ...files,
  open: async (path) => {
    const first = await files.open(path);
    if (!first.holds) return first;
    const { size } = first;
    await first.close();
    const once = async <T>(task: (file: OpenFile) => Promise<T>): Promise<T> => {
      const file = await files.open(path);
      try {
        if (file.size === size) return await task(file);
        throw unread(joinPath(files.name, path), `it had ${size} bytes when it was opened, it has ${file.size} now`);
      } finally {
        await file.close();
      }
    };
    return { size, read: (at, into) => once((file) => file.read(at, into)), close: async () => {} };
  },
});
