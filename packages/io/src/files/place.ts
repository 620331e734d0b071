import { PeftError, shown } from '@peftjs/tensor';
import { hubFiles } from '../hub/hub-on-demand.ts';
import { isHub, parseHub } from '../hub/hub-place.ts';
import { joinPath } from './file-path.ts';
import type { FileIn, FilePlace, Files, Place, WritableFiles } from './files.ts';
import { fromNode, isNode } from './from-node.ts';
import { urlFiles } from './url-files.ts';

/** A URL that is read by requests; undefined for what lies on a disk. */
const webUrl = (place: string | URL): URL | undefined => {
  if (place instanceof URL || /^(https?|file):/i.test(place)) {
    const url = new URL(place);
    return url.protocol === 'file:' ? undefined : url;
  }
  if (isNode()) return undefined;
  // In a page a path is one of its own site.
  const { document, location } = globalThis as { document?: { baseURI: string }; location?: { href: string } };
  return new URL(place, document?.baseURI ?? location?.href);
};

const diskPath = (place: string | URL): string =>
  place instanceof URL || /^file:/i.test(place) ? fromNode('node:url').fileURLToPath(place) : place;

/** Files that somebody gave. Throws `bad-option` where they are none, as an argument that was not there. */
const checked = <T extends object>(place: T, field: keyof T & string, what: string): T => {
  if (typeof place === 'object' && place !== null && field in place) return place;
  throw new PeftError('bad-option', `a ${what} must be a path, a URL or \`Files\`, got ${shown(place)}`);
};

/** The files of a folder. Those on disk are for Node alone, so they are loaded when asked for. */
export const filesAt = async (place: Place): Promise<Files> => {
  if (typeof place !== 'string' && !(place instanceof URL)) return checked(place, 'read', 'folder');
  if (isHub(place)) return hubFiles(String(place));
  const url = webUrl(place);
  if (url) return urlFiles(url);
  const { diskFiles } = await import('./disk-files.ts');
  return diskFiles(diskPath(place));
};

/** The file that is meant, in the files of its folder; on the hub in those of its repository. */
export const fileAt = async (place: FilePlace): Promise<FileIn> => {
  if (typeof place !== 'string' && !(place instanceof URL)) return checked(place, 'files', 'file');
  if (isHub(place)) {
    const parsed = parseHub(String(place));
    if (parsed.path === '')
      throw new PeftError('bad-option', `${parsed.name} is a repository, and a file is wanted: put /path behind it`);
    return { files: await hubFiles(parsed.name), path: parsed.path };
  }
  const url = webUrl(place);
  if (!url) {
    const { basename, dirname } = fromNode('node:path');
    const { diskFiles } = await import('./disk-files.ts');
    const path = diskPath(place);
    const folder = dirname(path);
    return { files: diskFiles(folder === '.' && !path.startsWith('.') ? '' : folder), path: basename(path) };
  }
  const at = url.pathname.lastIndexOf('/');
  const path = decodeURIComponent(url.pathname.slice(at + 1));
  url.pathname = url.pathname.slice(0, at + 1);
  return { files: urlFiles(url), path };
};

/** The path of a file, for messages. */
export const nameOf = ({ files, path }: FileIn): string => joinPath(files.name, path);

/** The same files, if they can be written. Throws `bad-option` where they can't. */
export const writable = (files: Files): WritableFiles => {
  if ('write' in files) return files as WritableFiles;
  throw new PeftError(
    'bad-option',
    `${files.name}: cannot be written to. Give a folder on disk, or files that have \`write\`, as those of memoryFiles().`,
  );
};
