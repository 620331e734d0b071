import { PeftError } from '@peftjs/tensor';
import { type DirectoryHandle, directoryFiles } from './directory-files.ts';
import { joinPath, partsOf } from './file-path.ts';
import type { WritableFiles } from './files.ts';

interface Storage {
  getDirectory?(): Promise<DirectoryHandle>;
}

const name = 'the page’s own files';

/**
 * A folder in the file system that a browser keeps for a page's site (OPFS), made when it is first used. The user doesn't see it; a browser
 * may clear it when space is short, unless `navigator.storage.persist()` was granted. Throws `bad-option` where there is none.
 * https://fs.spec.whatwg.org/#origin-private-file-system
 */
export const opfsFiles = (folder = ''): WritableFiles => {
  const parts = folder === '' ? [] : partsOf(name, folder);
  const open = async (): Promise<DirectoryHandle> => {
    const { storage } = (globalThis as { navigator?: { storage?: Storage } }).navigator ?? {};
    if (!storage?.getDirectory)
      throw new PeftError(
        'bad-option',
        `${name}: there are none here; they are for pages that come by https or from localhost`,
      );
    let found = await storage.getDirectory();
    for (const part of parts) found = await found.getDirectoryHandle(part, { create: true });
    return found;
  };
  return directoryFiles(open, joinPath(name, folder));
};
