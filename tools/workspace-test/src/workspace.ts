import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the workspace. */
export const root: string = fileURLToPath(new URL('../../..', import.meta.url));

/** The fields of a package.json that the checks read. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** A package of the workspace. `id` is its folder's name; `folder` is relative to the root. */
export interface Package {
  readonly id: string;
  readonly folder: string;
  readonly manifest: Manifest;
}

const packagesIn = (parent: string): Package[] =>
  readdirSync(join(root, parent))
    .filter((id) => existsSync(join(root, parent, id, 'package.json')))
    .map((id) => {
      const folder = `${parent}/${id}`;
      return { id, folder, manifest: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest };
    });

/** The packages of the project, published or internal. */
export const packages: readonly Package[] = packagesIn('packages');

/** The programs that use them. */
export const apps: readonly Package[] = packagesIn('apps');

/** The paths, relative to the root and with forward slashes, of the TypeScript files below a package's folder `part`. */
export function filesIn(pkg: Package, part: string): readonly string[] {
  const top = join(root, pkg.folder, part);
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.m?ts$/.test(path))
    .map((path) => `${pkg.folder}/${part}/${path.replaceAll('\\', '/')}`)
    .sort();
}
