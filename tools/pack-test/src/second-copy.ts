import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Installs another version of a package a second time, below a package `other` that brings it along and hands it on as `copy`: what npm does
 * where two packages ask for versions that exclude each other.
 */
export async function secondCopy(folder: string, name: string, version: string): Promise<void> {
  const [own, other] = [join(folder, 'node_modules', name), join(folder, 'node_modules/other')];
  const copy = join(other, 'node_modules', name);
  await mkdir(copy, { recursive: true });
  await cp(own, copy, { recursive: true });
  const manifest = JSON.parse(await readFile(join(own, 'package.json'), 'utf8')) as { readonly version: string };
  await writeFile(join(copy, 'package.json'), JSON.stringify({ ...manifest, version }));
  const told = `version = "${manifest.version}"`;
  for (const file of await readdir(join(copy, 'dist'))) {
    if (!file.endsWith('.js')) continue;
    const path = join(copy, 'dist', file);
    await writeFile(path, (await readFile(path, 'utf8')).replaceAll(told, `version = "${version}"`));
  }
  await writeFile(
    join(other, 'package.json'),
    JSON.stringify({ name: 'other', type: 'module', exports: './index.js' }),
  );
  await writeFile(join(other, 'index.js'), `export * as copy from '${name}';\n`);
}
