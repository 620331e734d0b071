import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What installing a package brings: the names of all packages, itself included, and the bytes of their files. */
export interface Installed {
  readonly packages: readonly string[];
  readonly bytes: number;
}

interface Locked {
  readonly packages: Readonly<Record<string, { readonly dependencies?: Readonly<Record<string, string>> }>>;
}

/** Bytes of the files in a folder, those of packages below it apart. */
const bytesIn = (folder: string): number =>
  readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? sum : sum + bytesIn(path);
    return sum + statSync(path).size;
  }, 0);

/** What installing a package of `folder` brings, by npm's lock file. */
export function installed(folder: string, name: string): Installed {
  const { packages } = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')) as Locked;
  const found = new Set<string>();
  const visit = (dependency: string, from: string): void => {
    // As Node looks for it: from where it is asked for, upwards.
    let at = from;
    let place = `${at}node_modules/${dependency}`;
    while (!packages[place] && at !== '') {
      at = at.slice(0, at.lastIndexOf('node_modules/'));
      place = `${at}node_modules/${dependency}`;
    }
    const locked = packages[place];
    if (!locked || found.has(place)) return;
    found.add(place);
    for (const next of Object.keys(locked.dependencies ?? {})) visit(next, `${place}/`);
  };
  visit(name, '');
  return {
    packages: [...found].map((place) => place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length)),
    bytes: [...found].reduce((sum, place) => sum + bytesIn(join(folder, place)), 0),
  };
}
