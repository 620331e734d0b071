import { fromNode, importInNode } from '../for-node.ts';
import type { TextPlace } from './tune-store.ts';

const { mkdir, readFile, rename, rm, writeFile } = fromNode('node:fs/promises');
const { dirname, join } = fromNode('node:path');

/** The user's cache directory, as the platform has it. */
const cacheFolder = async (): Promise<string> => {
  const { default: envPaths } = await importInNode('env-paths');
  return envPaths('peftjs', { suffix: '' }).cache;
};

/** A file in the user's cache directory. It is written under another name first, so that what has its name is whole. */
export const cachePlace = (name: string, folder?: string): TextPlace => {
  const place = async (): Promise<string> => join(folder ?? (await cacheFolder()), name);
  return {
    read: async () => readFile(await place(), 'utf8'),
    write: async (text) => {
      const path = await place();
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
