import { missing } from '../files/file-errors.ts';
import { childrenOf, joinPath, partsOf } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { urlFiles } from '../files/url-files.ts';
import type { HubOptions } from './hub-files.ts';
import type { HubPlace } from './hub-place.ts';
import { once } from './once.ts';
import { refusal } from './refusal.ts';
import { hubOf } from './settings.ts';
import { filePath, type Snapshot, snapshotOf } from './snapshot.ts';

/** Files of the hub that are read by ranges, of which nothing is kept. */
export const rangedFiles = (place: HubPlace, options: HubOptions): Files => {
  const hub = hubOf(options);
  const { name } = place;
  const opened = once(async (): Promise<{ readonly snapshot: Snapshot; readonly files: Files }> => {
    const snapshot = await snapshotOf(hub, place);
    const root = hub.endpoint + filePath(place, snapshot.commit, '');
    // Where the bytes lie on another server, that knows nothing of repositories.
    const isRefused = ({ status, url }: Response): boolean =>
      [401, 403, 404].includes(status) && new URL(url || root).origin === new URL(root).origin;
    const send: typeof fetch = async (input, init) => {
      const response = await hub.send(input, init);
      if (!isRefused(response)) return response;
      const file = decodeURIComponent(new URL(String(input)).pathname.slice(new URL(root).pathname.length));
      throw refusal(hub, place, file, { response, header: (field) => response.headers.get(field) });
    };
    const headers: Record<string, string> = hub.token === null ? {} : { authorization: `Bearer ${hub.token}` };
    return { snapshot, files: urlFiles(root, { headers, fetch: send }) };
  });
  const at = async (path: string): Promise<Files> => {
    partsOf(name, path);
    const { snapshot, files } = await opened();
    if (snapshot.files.has(path)) return files;
    throw missing(joinPath(name, path), 'there is no such file');
  };
  return {
    name,
    list: async (folder = '') => {
      const names = childrenOf((await opened()).snapshot.files, folder);
      if (names) return names;
      throw missing(joinPath(name, folder), 'there is no such folder');
    },
    size: async (path) => {
      partsOf(name, path);
      const { snapshot, files } = await opened();
      return snapshot.files.has(path) ? files.size(path) : null;
    },
    read: async (path, range) => (await at(path)).read(path, range),
    open: async (path) => (await at(path)).open(path),
  };
};
