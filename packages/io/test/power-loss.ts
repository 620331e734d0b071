import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';

/** A change that a process asked for. A folder's changes may be lost until it is flushed, a file's content until that is. */
export type DiskStep =
  | { readonly kind: 'link'; readonly folder: number; readonly name: string; readonly id: number }
  | { readonly kind: 'unlink'; readonly folder: number; readonly name: string }
  | { readonly kind: 'rename'; readonly folder: number; readonly from: string; readonly to: string }
  | { readonly kind: 'write'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'sync'; readonly id: number }
  | { readonly kind: 'flush'; readonly folder: number };

/** Names and what they lead to; a folder is a map, a file its bytes. */
export type Tree = ReadonlyMap<string, Uint8Array | Tree>;

/** A disk whose changes below a root are recorded, each as it is made. */
export interface Recorder {
  /** `node:fs/promises` that records. */
  readonly fs: typeof import('node:fs/promises');
  readonly steps: DiskStep[];
}

/** Records what is changed below an empty root, which has the number 0. */
export const recordDisk = (real: typeof import('node:fs/promises'), root: string): Recorder => {
  const steps: DiskStep[] = [];
  const ids = new Map<string, number>([[resolve(root), 0]]);
  const placeOf = (path: string): { readonly folder: number; readonly name: string } => {
    const folder = ids.get(dirname(resolve(path)));
    if (folder === undefined) throw new Error(`${path} was not made by what is recorded`);
    return { folder, name: basename(path) };
  };
  let next = 1;
  const linked = (path: string): number => {
    ids.set(resolve(path), next);
    steps.push({ kind: 'link', ...placeOf(path), id: next });
    return next++;
  };
  const recordedHandle = (handle: FileHandle, id: number, isFolder: boolean): FileHandle =>
    new Proxy(handle, {
      get: (target, key) => {
        if (key === 'writeFile')
          return async (data: string | Uint8Array) => {
            await target.writeFile(data);
            steps.push({ kind: 'write', id, bytes: Buffer.from(data as string) });
          };
        if (key === 'sync')
          return async () => {
            await target.sync();
            steps.push(isFolder ? { kind: 'flush', folder: id } : { kind: 'sync', id });
          };
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  const fs = {
    ...real,
    open: async (path: string, flags: string) => {
      const handle = await open(path, flags);
      if (flags === 'r') return recordedHandle(handle, ids.get(resolve(path))!, (await handle.stat()).isDirectory());
      return recordedHandle(handle, linked(path), false);
    },
    rename: async (from: string, to: string) => {
      await rename(from, to);
      if (dirname(resolve(from)) !== dirname(resolve(to))) throw new Error('a rename across folders is not modelled');
      steps.push({ kind: 'rename', folder: placeOf(from).folder, from: basename(from), to: basename(to) });
      ids.set(resolve(to), ids.get(resolve(from))!);
      ids.delete(resolve(from));
    },
    rm: async (path: string, options: object) => {
      await rm(path, options);
      if (ids.delete(resolve(path))) steps.push({ kind: 'unlink', ...placeOf(path) });
    },
    mkdir: async (path: string, options: { readonly recursive: true }) => {
      const made = await mkdir(path, options);
      if (made === undefined) return made;
      const parts = relative(dirname(made), path).split('/');
      for (const [i] of parts.entries()) linked(join(dirname(made), ...parts.slice(0, i + 1)));
      return made;
    },
  };
  return { fs: fs as unknown as typeof import('node:fs/promises'), steps };
};

type Entries = Map<string, number>;

const applied = (entries: Entries, step: DiskStep, moved: number | undefined): void => {
  if (step.kind === 'link') entries.set(step.name, step.id);
  else if (step.kind === 'unlink') entries.delete(step.name);
  else if (step.kind === 'rename') {
    entries.delete(step.from);
    if (moved !== undefined) entries.set(step.to, moved);
  }
};

/**
 * Everything that may be on the disk if the power fails after so many steps: of a folder's changes since it was last flushed any may be there and any
 * other missing, in no order; of a file the content that was last flushed, or nothing. What is more than POSIX promises is not relied on.
 */
export const afterPowerLoss = (steps: readonly DiskStep[]): Tree[] => {
  const folders = new Map<number, { readonly now: Entries; readonly kept: Entries }>();
  const contents = new Map<number, { now: Buffer; kept: Buffer }>();
  let open: { readonly step: DiskStep & { readonly folder: number }; readonly moved: number | undefined }[] = [];
  const folderOf = (id: number) => {
    const folder = folders.get(id) ?? { now: new Map(), kept: new Map() };
    folders.set(id, folder);
    return folder;
  };
  const contentOf = (id: number) => {
    const content = contents.get(id) ?? { now: Buffer.alloc(0), kept: Buffer.alloc(0) };
    contents.set(id, content);
    return content;
  };
  folderOf(0);
  const isFolder = new Set(steps.flatMap((step) => ('folder' in step ? [step.folder] : [])));
  for (const step of steps) {
    if (step.kind === 'write') contentOf(step.id).now = Buffer.concat([contentOf(step.id).now, step.bytes]);
    else if (step.kind === 'sync') contentOf(step.id).kept = contentOf(step.id).now;
    else if (step.kind === 'flush') {
      for (const { step: change, moved } of open)
        if (change.folder === step.folder) applied(folderOf(step.folder).kept, change, moved);
      open = open.filter((change) => change.step.folder !== step.folder);
    } else {
      const { now } = folderOf(step.folder);
      const moved = step.kind === 'rename' ? now.get(step.from) : undefined;
      applied(now, step, moved);
      open.push({ step, moved });
    }
  }
  if (open.length > 12) throw new Error(`${open.length} changes are open: too many to try all subsets`);
  return Array.from({ length: 2 ** open.length }, (_, subset) => {
    const entries = new Map([...folders].map(([id, { kept }]) => [id, new Map(kept)]));
    for (const [i, { step, moved }] of open.entries())
      if (subset & (1 << i)) applied(entries.get(step.folder)!, step, moved);
    const treeOf = (id: number): Tree =>
      new Map(
        [...(entries.get(id) ?? [])].map(([name, of]) => [name, isFolder.has(of) ? treeOf(of) : contentOf(of).kept]),
      );
    return treeOf(0);
  });
};

/** Writes a tree into an empty folder, as of an hour ago: who comes after a power loss does not come at once. */
export const materialize = async (tree: Tree, dir: string): Promise<void> => {
  await mkdir(dir, { recursive: true });
  const then = new Date(Date.now() - 3_600_000);
  for (const [name, what] of tree) {
    const path = join(dir, name);
    if (what instanceof Map) await materialize(what, path);
    else {
      await writeFile(path, what as Uint8Array);
      await utimes(path, then, then);
    }
  }
};
