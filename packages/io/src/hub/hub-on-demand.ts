import type { Files } from '../files/files.ts';
import type { HubOptions } from './hub-files.ts';

/**
 * The files of a repository on Hugging Face's hub, or of a folder in it, as `filesAt('hub:owner/name@revision')` gives them, with options. In Node a file that is read is downloaded
 * into the cache that Python's tools share, checked, and read from there; one that Python put there is not downloaded again. In a page, ranges are read by HTTP and nothing is kept.
 * All files are those of one commit, the one that the revision meant when it was first asked for.
 *
 * Throws `bad-option` for what is no such place; its reads `file-missing` where the hub has no such repository, revision or file, or refuses it, and where the cache has none and only
 * that may be read; `read-failed` where no answer or other bytes come; `write-failed` where the cache can't be written.
 */
export const hubFiles = async (place: string, options: HubOptions = {}): Promise<Files> =>
  (await import('./hub-files.ts')).openHub(place, options);
