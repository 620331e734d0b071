import { type Files, memoryFiles } from '@peftjs/io';

/** Files in memory that note what is read of them. */
export const watchedFiles = (
  content: ReadonlyMap<string, Uint8Array | string>,
): Files & { readonly reads: { at: number; length: number }[]; open_: number } => {
  const inner = memoryFiles(content);
  const watched = {
    ...inner,
    reads: [] as { at: number; length: number }[],
    open_: 0,
    open: async (path: string) => {
      const file = await inner.open(path);
      watched.open_++;
      return {
        ...file,
        read: (at: number, into: Uint8Array) => {
          watched.reads.push({ at, length: into.length });
          return file.read(at, into);
        },
        close: async () => {
          watched.open_--;
          await file.close();
        },
      };
    },
  };
  return watched;
};
