import type { FileContent } from './file-content.ts';

/** `writeFileAtomic` of write-atomic.ts, loaded when it is used: it is for Node alone. */
export const writeFileAtomic = async (path: string, content: FileContent): Promise<void> =>
  (await import('../disk/write-atomic.ts')).writeFileAtomic(path, content);

/** `writeDirAtomic` of write-atomic.ts, loaded when it is used: it is for Node alone. */
export const writeDirAtomic = async (dir: string, files: ReadonlyMap<string, FileContent>): Promise<void> =>
  (await import('../disk/write-atomic.ts')).writeDirAtomic(dir, files);
