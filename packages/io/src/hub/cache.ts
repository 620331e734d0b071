import { writeFileAtomic } from '../disk/write-atomic.ts';
import { unwritten } from '../files/file-errors.ts';
import { fromNode } from '../files/from-node.ts';
import type { HubPlace } from './hub-place.ts';
import { isCommit } from './snapshot.ts';

const { copyFile, link, mkdir, readFile, rm, symlink } = fromNode('node:fs/promises');
const { dirname, join, relative } = fromNode('node:path');

/**
 * Where a repository lies in the cache that Python's tools share: `models--owner--name` with `blobs/<etag>`, `snapshots/<commit>/<path>`, which are links to blobs, and
 * `refs/<revision>`, which hold commits. https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
export interface RepoCache {
  readonly folder: string;
  readonly blobs: string;
  snapshot(commit: string): string;
  /** The commit that a revision meant when it was last asked for; null where it never was. */
  commitOf(revision: string): Promise<string | null>;
  /** Keeps what a revision means. A cache that can't be written is read all the same. */
  keep(revision: string, commit: string): Promise<void>;
  /** Gives a blob its path in a commit. Throws `write-failed`. */
  link(blob: string, pointer: string): Promise<void>;
}

/** The cache of a repository. Nothing is made before something is written. */
export const repoCache = (cache: string, { kind, repo }: HubPlace): RepoCache => {
  const folder = join(cache, `${kind}--${repo.replaceAll('/', '--')}`);
  const refAt = (revision: string): string => join(folder, 'refs', revision);
  const commitOf = async (revision: string): Promise<string | null> => {
    const text = await readFile(refAt(revision), 'utf8').catch(() => '');
    return isCommit(text.trim()) ? text.trim() : null;
  };
  return {
    folder,
    blobs: join(folder, 'blobs'),
    snapshot: (commit) => join(folder, 'snapshots', commit),
    commitOf,
    keep: async (revision, commit) => {
      if (isCommit(revision) || (await commitOf(revision)) === commit) return;
      try {
        await mkdir(dirname(refAt(revision)), { recursive: true });
        await writeFileAtomic(refAt(revision), commit);
      } catch {
        // It is missed only where nothing but the cache may be read.
      }
    },
    link: async (blob, pointer) => {
      try {
        await mkdir(dirname(pointer), { recursive: true });
        // One that leads to nothing any more may be there.
        await rm(pointer, { force: true });
        await symlink(relative(dirname(pointer), blob), pointer).catch(async (error: NodeJS.ErrnoException) => {
          // Another process has made it just then.
          if (error.code === 'EEXIST') return;
          // Windows lets few users make such links.
          await link(blob, pointer).catch(() => copyFile(blob, pointer));
        });
      } catch (cause) {
        throw unwritten(pointer, cause);
      }
    },
  };
};
