import { isGone, ownerOfTemporary, temporaryName } from '../disk/owner.ts';
import { fromNode } from '../files/from-node.ts';

const { readdir, rename, rm } = fromNode('node:fs/promises');
const { join } = fromNode('node:path');

/** A file that is not whole yet, and that nobody else writes to. */
export interface Part {
  readonly path: string;
  /** Leaves it for the next who wants the same bytes. */
  leave(): Promise<void>;
  remove(): Promise<void>;
}

const moved = (from: string, to: string): Promise<boolean> =>
  rename(from, to).then(
    () => true,
    () => false,
  );

/**
 * Makes a name for the bytes that come of a blob, over what was left of it by somebody else, `<etag>.incomplete` or the file of a process that was killed. Taking it over is renaming
 * it, so that of two only one has it.
 */
export const claimPart = async (blobs: string, etag: string): Promise<Part> => {
  const path = join(blobs, temporaryName(etag));
  const shared = join(blobs, `${etag}.incomplete`);
  const isLeft = (name: string): boolean => {
    const owner = ownerOfTemporary(name);
    return owner?.of === etag && isGone(owner);
  };
  const left = [shared, ...(await readdir(blobs)).filter(isLeft).map((name) => join(blobs, name))];
  for (const one of left) if (await moved(one, path)) break;
  return { path, leave: async () => void (await moved(path, shared)), remove: () => rm(path, { force: true }) };
};
