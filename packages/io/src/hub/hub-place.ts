import { PeftError } from '@peftjs/tensor';
import { partsOf } from '../files/file-path.ts';
import { quote } from '../report.ts';

/** A repository of Hugging Face's hub at a revision, and a folder or file in it. */
export interface HubPlace {
  readonly kind: 'models' | 'datasets';
  /** `owner/name`, or of a few old ones `name`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** A path within it; '' for the whole. */
  readonly path: string;
  /** As it is written, for messages. */
  readonly name: string;
}

/** Whether a place is one on the hub: it begins with `hub:`. */
export const isHub = (place: string | URL): boolean => /^hub:/i.test(String(place));

/** Revisions that are no branches or tags have slashes in their names. */
const shape = /^(?:(models|datasets)\/)?([^/@]+(?:\/[^/@]+)?)(?:@(refs\/(?:pr|convert)\/[^/]+|[^/]*))?(?:\/(.*))?$/;

/** Names as the hub gives them; what else stands there would be another path of its cache. */
const isName = (part: string): boolean => /^\w(?:[\w.-]{0,94}\w)?$/.test(part) && !/--|\.\./.test(part);

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/**
 * Reads a place on the hub: `hub:owner/name`, `hub:owner/name@revision`, `hub:datasets/owner/name`, each with `/path` behind it for a folder or file in it. Without a revision it is
 * `main`; a slash in the name of a branch is written `%2F`. Throws `bad-option` for another text.
 */
export const parseHub = (place: string): HubPlace => {
  const [, kind = 'models', repo = '', asked = 'main', behind = ''] =
    shape.exec(place.replace(/^hub:/i, '').replace(/\/+$/, '')) ?? [];
  const none = (): PeftError =>
    new PeftError(
      'bad-option',
      `${quote(place)} is no place on the hub. Write hub:owner/name, hub:owner/name@revision, or hub:datasets/owner/name, with /path behind it for a folder or file in it.`,
    );
  if (!isHub(place) || !repo.split('/').every(isName) || asked === '') throw none();
  const revision = decoded(asked);
  // No name in git has such characters, and on Windows a colon leads elsewhere.
  if (/[\s~^:?*[]/.test(revision)) throw none();
  partsOf(place, revision);
  if (behind !== '') partsOf(place, behind);
  const at = revision === 'main' ? '' : `@${asked}`;
  const name = `hub:${kind === 'datasets' ? 'datasets/' : ''}${repo}${at}`;
  return { kind: kind as HubPlace['kind'], repo, revision, path: behind, name };
};
