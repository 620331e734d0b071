import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileMap } from './mutate-files.ts';

/** The goldens that Python made. */
export const goldens: string = join(import.meta.dirname, '../../golden/data');

/** The files of a folder, or some of them. */
export const folder = async (dir: string, only?: (path: string) => boolean): Promise<FileMap> => {
  const files = new Map<string, Uint8Array>();
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(dir.length + 1).replaceAll('\\', '/');
    if (entry.isFile() && (only?.(name) ?? true)) files.set(name, await readFile(path));
  }
  return files;
};
