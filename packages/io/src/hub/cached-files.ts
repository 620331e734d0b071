import { isPeftError, PeftError } from '@peftjs/tensor';
import { diskFiles } from '../files/disk-files.ts';
import { missing } from '../files/file-errors.ts';
import { childrenOf, joinPath, partsOf } from '../files/file-path.ts';
import type { Files } from '../files/files.ts';
import { fromNode } from '../files/from-node.ts';
import { repoCache } from './cache.ts';
import { download, type Wanted } from './download.ts';
import { type FileFacts, fileFacts } from './file-facts.ts';
import type { HubOptions } from './hub-files.ts';
import type { HubPlace } from './hub-place.ts';
import { once } from './once.ts';
import { settingsOf } from './settings.ts';
import { isCommit, snapshotOf } from './snapshot.ts';

const { access } = fromNode('node:fs/promises');
const { join } = fromNode('node:path');

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Downloads under way, by where they are to lie: who wants the same waits for it. */
const underWay = new Map<string, Promise<void>>();

const alone = (key: string, action: () => Promise<void>): Promise<void> => {
  const running = underWay.get(key) ?? action().finally(() => underWay.delete(key));
  underWay.set(key, running);
  return running;
};

/** Files of the hub that are read from the cache of Python's tools, and downloaded into it where it has none. */
export const cachedFiles = async (place: HubPlace, options: HubOptions): Promise<Files> => {
  const settings = await settingsOf(options);
  const { cache: folder, offline } = settings;
  const { name, revision } = place;
  const cache = repoCache(folder, place);
  const listing = once(() => snapshotOf(settings, place));

  const uncached = (path: string): PeftError =>
    new PeftError(
      'file-missing',
      `${joinPath(name, path)}: is not in the cache ${folder}, and only that may be read (HF_HUB_OFFLINE). Download it once without that.`,
    );
  const commitOf = once(async (): Promise<string> => {
    if (isCommit(revision)) return revision;
    const kept = await cache.commitOf(revision);
    if (offline && kept !== null) return kept;
    if (offline) throw uncached('');
    try {
      return (await listing()).commit;
    } catch (error) {
      if (!isPeftError(error) || error.code !== 'read-failed' || kept === null) throw error;
      throw new PeftError(
        'read-failed',
        `${error.message} The cache has files of its commit ${kept}: HF_HUB_OFFLINE=1 reads those.`,
        { cause: error },
      );
    }
  });
  const disk = once(async () => diskFiles(cache.snapshot(await commitOf())));
  /** Whether the hub has a file. */
  const has = async (path: string): Promise<boolean> => (await listing()).files.has(path);

  const facts = new Map<string, () => Promise<FileFacts>>();
  const factsOf = async (path: string): Promise<FileFacts> => {
    const commit = await commitOf();
    const ask = facts.get(path) ?? once(() => fileFacts(settings, place, commit, path));
    facts.set(path, ask);
    return ask();
  };
  const fetched = async (path: string): Promise<void> => {
    const commit = await commitOf();
    const found = await factsOf(path);
    const blob = join(cache.blobs, found.etag);
    const pointer = join(cache.snapshot(commit), ...path.split('/'));
    await alone(pointer, async () => {
      const wanted: Wanted = { ...found, place, commit, path, onProgress: options.onProgress };
      if (!(await isThere(blob))) await alone(blob, () => download(settings, wanted, cache.blobs));
      await cache.link(blob, pointer);
    });
  };
  /** The files of the commit, once one of them is there. */
  const holding = async (path: string): Promise<Files> => {
    partsOf(name, path);
    const files = await disk();
    if ((await files.size(path)) === null) {
      if (offline) throw uncached(path);
      if (!(await has(path))) throw missing(joinPath(name, path), 'there is no such file in it');
      await fetched(path);
    }
    if (!offline) await cache.keep(revision, await commitOf());
    return files;
  };

  return {
    name,
    list: async (within = '') => {
      if (within !== '') partsOf(name, within);
      // Whether all of a commit is in the cache, that does not tell.
      if (offline) return (await disk()).list(within);
      const names = childrenOf((await listing()).files, within);
      if (names) return names;
      throw missing(joinPath(name, within), 'there is no such folder in it');
    },
    size: async (path) => {
      partsOf(name, path);
      const files = await disk();
      const kept = await files.size(path);
      if (kept !== null || offline || !(await has(path))) return kept;
      return (await factsOf(path)).size ?? (await holding(path)).size(path);
    },
    read: async (path, range) => (await holding(path)).read(path, range),
    open: async (path) => (await holding(path)).open(path),
  };
};
