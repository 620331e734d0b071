import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

interface Manifest {
  readonly version: string;
  readonly exports?: { readonly '.'?: { readonly import?: string } };
}

/** A peer of JavaScript out of the folder it was installed in: its module as Node imports it, and its version. */
export const loadPeer = async <T>(
  peers: string,
  name: string,
): Promise<{ readonly module: T; readonly version: string }> => {
  const folder = join(peers, 'node/node_modules', name);
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
  const entry = manifest.exports?.['.']?.import;
  const module = entry
    ? ((await import(pathToFileURL(join(folder, entry)).href)) as T)
    : (createRequire(join(peers, 'node/package.json'))(name) as T);
  return { module, version: manifest.version };
};
