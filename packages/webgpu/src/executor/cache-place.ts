import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import envPaths from 'env-paths';
import type { TextPlace } from './tune-store.ts';

/** The user's cache directory, as the platform has it. */
const cacheFolder = (): string => envPaths('peftjs', { suffix: '' }).cache;

/** A file in the user's cache directory. It is written under another name first, so that what has its name is whole. */
export const cachePlace = (name: string, folder: string = cacheFolder()): TextPlace => {
  const path = join(folder, name);
  return {
    read: () => readFile(path, 'utf8'),
    write: async (text) => {
      const staged = `${path}.${process.pid}.tmp`;
      await mkdir(dirname(path), { recursive: true });
      try {
        await writeFile(staged, text);
        await rename(staged, path);
      } catch (error) {
        await rm(staged, { force: true });
        throw error;
      }
    },
  };
};
