import { createRequire } from 'node:module';
import { dirname } from 'node:path';

/** The folder of an installed package. Its data files are read from there; its code is never loaded. */
export function packageDir(name: string): string {
  return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
}
