import { familyTarget, type JsonValue, type Option, type Target, targets } from '@peftjs/core';
import type { Linear, Path } from '@peftjs/transformer';

/**
 * The layers that share: those with one last name (`'name'`), all (`'sizes'`), or those whose paths end with the same entry of a list, which is what a list of
 * names in a file means; always of the same sizes alone.
 */
export type Sharing = 'name' | 'sizes' | readonly string[];

const lastName = (path: Path): string => path.slice(path.lastIndexOf('.') + 1);

const groupOf = (path: Path, { inDim, outDim }: Linear, sharing: Sharing): string => {
  const sizes = `${outDim} ${inDim}`;
  if (sharing === 'sizes') return sizes;
  if (sharing === 'name') return `${lastName(path)} ${sizes}`;
  const ends = sharing.filter((end) => path.endsWith(end));
  return ends.length === 1 ? `${ends[0]} ${sizes}` : path; // Hugging Face PEFT takes either of several by chance
};

/** The layers under whose names the matrices of a layer are. */
export interface Owners {
  readonly a: Path;
  readonly b: Path;
}

/** The owners of each layer's matrices: B of a group is its first layer's, A that of the first of each `stride` of them. */
export const ownersOf = (
  paths: readonly Path[],
  linears: ReadonlyMap<Path, Linear>,
  sharing: Sharing,
  stride: number,
): ReadonlyMap<Path, Owners> => {
  const groups = new Map<string, Path[]>();
  return new Map(
    paths.map((path) => {
      const key = groupOf(path, linears.get(path)!, sharing);
      const group = groups.get(key) ?? [];
      groups.set(key, group);
      const place = group.push(path) - 1;
      return [path, { a: group[place - (place % stride)]!, b: group[0]! }];
    }),
  );
};

/** The names under which files hold the matrices of layers that have others' as well, with those others'. */
export const copiesFor = (owners: ReadonlyMap<Path, Owners>): ReadonlyMap<string, string> =>
  new Map(
    [...owners].flatMap(([path, { a, b }]) => [
      ...(a === path ? [] : [[`${path}.lily_A.weight`, `${a}.lily_A.weight`] as const]),
      ...(b === path ? [] : [[`${path}.lily_B.weight`, `${b}.lily_B.weight`] as const]),
    ]),
  );

/** How the target of a file is read. */
export const sharingOption: Option<Sharing> = {
  key: 'target_modules',
  fallback: () => 'name',
  expected: 'name, sizes or a list of ends of paths',
  accepts: (v) => v === 'name' || v === 'sizes' || (Array.isArray(v) && v.every((end) => typeof end === 'string')),
  toJson: () => undefined,
  fromJson: (value) => (typeof value === 'string' ? 'sizes' : value),
};

/** Whether a list of names shares as layers of one last name do: each layer ends with one of them, and no two of those end alike. */
const isPlain = (names: JsonValue, paths: readonly Path[]): boolean =>
  Array.isArray(names) &&
  new Set(names.map((name) => lastName(String(name)))).size === names.length &&
  paths.every((path) => names.filter((name) => path.endsWith(String(name))).length === 1);

const plain: Option<Target> = targets('target_modules', familyTarget('lora'));

/** The target, which files hold as full paths where its names would share other layers there: then none share. */
export const sharedTarget: Option<Target> = {
  ...plain,
  toJson: (target, layers) => {
    const saved = plain.toJson!(target, layers)!;
    return isPlain(saved, layers.paths()) ? saved : [...layers.paths()];
  },
};
