import { unread } from '../files/file-errors.ts';
import { joinPath } from '../files/file-path.ts';
import { ask } from './ask.ts';
import type { HubPlace } from './hub-place.ts';
import { refusal } from './refusal.ts';
import type { Hub } from './settings.ts';
import { filePath } from './snapshot.ts';

/** Of a file, before its bytes are asked for. */
export interface FileFacts {
  /** The name of its bytes in the cache. */
  readonly etag: string;
  /** Of its bytes; null of small files, of which the hub tells none. */
  readonly sha256: string | null;
  /** Bytes; null where the hub does not say. */
  readonly size: number | null;
}

/** Asks the hub about a file. Throws as `refusal` says; `read-failed` for an answer that tells nothing. */
export const fileFacts = async (hub: Hub, place: HubPlace, commit: string, path: string): Promise<FileFacts> => {
  const who = joinPath(place.name, path);
  const answer = await ask(hub, who, { path: filePath(place, commit, path), method: 'HEAD' });
  const { response, header } = answer;
  if (response.status >= 400) throw refusal(hub, place, path, answer);
  const etag = (header('x-linked-etag') ?? header('etag') ?? '').replace(/^W\//, '').replaceAll('"', '');
  // It becomes the name of a file.
  if (!/^\w[\w.-]{0,199}$/.test(etag)) throw unread(who, new Error(`${hub.endpoint} tells no sound ETag of it`));
  const isLinked = header('x-linked-etag') !== null && /^[0-9a-f]{64}$/.test(etag);
  const length = header('x-linked-size') ?? (response.ok ? response.headers.get('content-length') : null);
  const size = length === null || !/^\d{1,15}$/.test(length) ? null : Number(length);
  return { etag, sha256: isLinked ? etag : null, size };
};
