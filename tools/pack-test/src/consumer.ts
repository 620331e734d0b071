import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run } from './run.ts';

/** A folder outside the workspace where the packed packages are installed, as a user has them. */
export interface Consumer {
  readonly folder: string;
  /** Their package.json files, as published, by name. */
  readonly manifests: ReadonlyMap<string, { readonly exports: Readonly<Record<string, unknown>> }>;
  remove(): Promise<void>;
}

/** The folders of the packages that are published, by package name. */
export const published: ReadonlyMap<string, string> = new Map(
  readdirSync(join(root, 'packages')).flatMap((id) => {
    const folder = join(root, 'packages', id);
    if (!existsSync(join(folder, 'package.json'))) return [];
    const { name, private: internal } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return internal ? [] : [[name, folder] as const];
  }),
);

/** Builds and packs every published package and installs the archives with npm into an empty folder. */
export async function makeConsumer(): Promise<Consumer> {
  await run('turbo', ['run', 'build', '--output-logs=errors-only'], root);
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'peftjs-consumer-')));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await install(folder);
  } catch (cause) {
    await remove();
    throw cause;
  }
  const manifestOf = (name: string) =>
    JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8'));
  return { folder, manifests: new Map([...published.keys()].map((name) => [name, manifestOf(name)])), remove };
}

async function install(folder: string): Promise<void> {
  const archives = join(folder, 'archives');
  await mkdir(archives);
  const dependencies: Record<string, string> = {};
  for (const [name, source] of published) {
    const { filename } = JSON.parse(await run('pnpm', ['pack', '--json', '--pack-destination', archives], source));
    dependencies[name] = `file:${filename}`;
  }
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  // Their install scripts fetch GPU libraries that nothing here uses.
  const quietly = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', ['install', ...quietly], folder);
}
