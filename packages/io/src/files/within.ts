import { joinPath, partsOf } from './file-path.ts';
import type { Files } from './files.ts';

/** The files of a folder in a folder. */
export const within = (files: Files, folder: string): Files => {
  const name = joinPath(files.name, folder);
  const inside = (path: string): string => `${folder}/${partsOf(name, path).join('/')}`;
  return {
    name,
    list: (path = '') => files.list(path === '' ? folder : inside(path)),
    size: async (path) => files.size(inside(path)),
    read: async (path, range) => files.read(inside(path), range),
    open: async (path) => files.open(inside(path)),
  };
};
