import { isPeftError, PeftError } from '@peftjs/tensor';
import { reasonOf } from '../report.ts';

/** A file in a folder of two names, as models have them on Hugging Face's hub: `owner/name/config.json`. */
const likeHub = /^([\w-][\w.-]*\/[\w-][\w.-]*)\/[^/]+$/;

/** A file that is not there, or cannot be opened. */
export const missing = (path: string, reason: string, cause?: unknown): PeftError => {
  const [, name] = likeHub.exec(path) ?? [];
  const hub = name ? ` If ${name} is a model on Hugging Face's hub, give hub:${name}.` : '';
  return new PeftError('file-missing', `${path}: cannot be opened: ${reason}. Check the path.${hub}`, { cause });
};

/** A file that is there and whose bytes do not come. */
export const unread = (path: string, cause: unknown, at?: number): PeftError => {
  if (isPeftError(cause)) return cause;
  const place = at === undefined ? '' : ` at byte ${at}`;
  return new PeftError('read-failed', `${path}: reading${place} failed: ${reasonOf(cause)}. Try again.`, { cause });
};

/** Something that cannot be written. */
export const unwritten = (path: string, cause: unknown, state = 'Nothing was changed'): PeftError => {
  if (isPeftError(cause)) return cause;
  return new PeftError('write-failed', `${path}: cannot be written: ${reasonOf(cause)}. ${state}.`, { cause });
};
