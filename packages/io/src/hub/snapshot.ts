import { PeftError } from '@peftjs/tensor';
import { unread } from '../files/file-errors.ts';
import { partsOf } from '../files/file-path.ts';
import { firstBytes } from '../files/pour.ts';
import { isObject } from '../json.ts';
import { quote } from '../report.ts';
import { ask } from './ask.ts';
import type { HubPlace } from './hub-place.ts';
import { refusal } from './refusal.ts';
import type { Hub } from './settings.ts';

/** A revision as the hub has it now. */
export interface Snapshot {
  readonly commit: string;
  /** Paths of all its files. */
  readonly files: ReadonlySet<string>;
}

/** Bytes of a listing, at most: of some hundred thousand files. */
const longest = 2 ** 26;

/** Whether a text is a whole commit, and no shorter name of one. */
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/** Where the hub has a file. */
export const filePath = ({ kind, repo }: HubPlace, commit: string, path: string): string =>
  `${kind === 'datasets' ? '/datasets' : ''}/${repo}/resolve/${encodeURIComponent(commit)}/${path.split('/').map(encodeURIComponent).join('/')}`;

/** A path that a listing claims. Throws `read-failed` for one that would lie elsewhere on a disk, of Windows too. */
const checkPath = (who: string, path: unknown): string => {
  try {
    if (typeof path === 'string' && path.length < 4096 && !/(^|\/)[a-z]:/i.test(path) && partsOf(who, path))
      return path;
  } catch {
    // Told below.
  }
  throw new PeftError(
    'read-failed',
    `${who}: lists ${typeof path === 'string' ? quote(path) : `a file of type ${typeof path}`}, which is no path within it. Nothing of it is read; tell its owner.`,
  );
};

/** Asks the hub for the commit and the files of a revision. Throws as `refusal` says; `read-failed` for an answer that is none. */
export const snapshotOf = async (hub: Hub, place: HubPlace): Promise<Snapshot> => {
  const { kind, repo, revision, name } = place;
  const answer = await ask(hub, name, { path: `/api/${kind}/${repo}/revision/${encodeURIComponent(revision)}` });
  if (!answer.response.ok) throw refusal(hub, place, '', answer);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(await firstBytes(answer.response, longest)));
  } catch (cause) {
    throw unread(name, new Error(`${hub.endpoint} answers with what is no listing`, { cause }));
  }
  const { sha, siblings } = isObject(json) ? json : {};
  if (typeof sha !== 'string' || !isCommit(sha) || !Array.isArray(siblings))
    throw unread(name, new Error(`${hub.endpoint} answers without a commit or its files`));
  const paths = siblings.map((one) => checkPath(name, isObject(one) ? one['rfilename'] : null));
  return { commit: sha, files: new Set(paths) };
};
