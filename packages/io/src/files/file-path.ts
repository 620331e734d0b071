import { PeftError } from '@peftjs/tensor';
import { quote } from '../report.ts';

/** The parts of a path within `Files`. Throws `bad-option` for one that is absolute, empty, or leads out of its folder. */
export const partsOf = (who: string, path: string): readonly string[] => {
  const parts = path.split('/');
  const isPlain = (part: string): boolean =>
    part !== '' && part !== '.' && part !== '..' && !/[\\\0]|\p{Surrogate}/u.test(part);
  if (parts.every(isPlain)) return parts;
  throw new PeftError(
    'bad-option',
    `${who}: ${quote(path)} is not a path within it. Give names joined by "/", without "." or "..".`,
  );
};

/** A name below a folder, for messages and for systems that join by `/`, as Windows does too. */
export const joinPath = (folder: string, path: string): string => {
  if (folder === '' || path === '') return folder + path;
  return /[/\\]$/.test(folder) ? folder + path : `${folder}/${path}`;
};

/** The entries that lie directly in a folder, out of all paths; null if none does. */
export const childrenOf = (paths: Iterable<string>, folder: string): readonly string[] | null => {
  const names = new Set<string>();
  const prefix = folder === '' ? '' : `${folder}/`;
  for (const path of paths) {
    if (!path.startsWith(prefix)) continue;
    const [name, ...rest] = path.slice(prefix.length).split('/');
    names.add(rest.length > 0 ? `${name}/` : name!);
  }
  return names.size > 0 || folder === '' ? [...names].sort() : null;
};
