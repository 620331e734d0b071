import type { Files } from '../files/files.ts';
import type { HubOptions } from './hub-files.ts';
import type { Pushed, PushOptions } from './push.ts';

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

/**
 * Puts files into a repository on Hugging Face's hub as one commit, `hub:owner/name@branch`, or into a folder in it; makes the repository where there is none. Files that the hub wants
 * apart from git (weights) are uploaded before, each whole. Others of the repository stay. In Node and with a token that may write.
 *
 * Throws `bad-option` for what is no such place, without a token, and offline; `write-failed` where the hub refuses, `read-failed` where it does not answer: nothing is committed then.
 */
export const pushFiles = async (
  place: string,
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>,
  options: PushOptions = {},
): Promise<Pushed> => (await import('./push.ts')).push(place, files, options);
