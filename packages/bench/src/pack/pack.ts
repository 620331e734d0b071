import { existsSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createGzip } from 'node:zlib';
import type { Values } from '../agreement.ts';
import { paths } from '../paths.ts';
import { newestByTask } from '../report/newest.ts';
import type { Results } from '../report/results.ts';
import { bundle } from '../run/bundle.ts';

/** The largest pack, compressed. */
const packLimit = 60 * 2 ** 20;

const start = `#!/bin/sh
# Runs the bench of this folder; nothing else has to be installed, and nothing is fetched. sh start.sh --help
case $0 in */*) cd "\${0%/*}" || exit 1 ;; esac
# What is found out about the GPU stays in this folder.
XDG_CACHE_HOME="$PWD/cache" exec ./node app/start.mjs "$@"
`;

/** The first results of PyTorch in the newest results: what a stack must compute, whatever the machine. */
const referencesOf = async (folder: string): Promise<Record<string, Values>> => {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'));
  const all = await Promise.all(names.map(async (n) => JSON.parse(await readFile(join(folder, n), 'utf8')) as Results));
  return Object.fromEntries(
    [...newestByTask(all)].flatMap(([task, { rows }]) => {
      const torch = rows.find((row) => row.stack === 'torch' && row.failure === undefined);
      return torch ? [[task, torch.values] as const] : [];
    }),
  );
};

const copyDawn = async (modules: string): Promise<void> => {
  const from = await realpath(dirname(createRequire(import.meta.url).resolve('webgpu')));
  const to = join(modules, 'webgpu');
  const binary = join('dist', 'linux-x64', 'dawn.node');
  await mkdir(dirname(join(to, binary)), { recursive: true });
  for (const name of ['package.json', 'index.js', 'LICENSE.md', binary])
    await copyFile(join(from, name), join(to, name));
};

/** Bytes of a folder's files, each compressed by itself: an archive of them all is no larger but for its headers. */
const compressedSize = async (folder: string): Promise<number> => {
  let total = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const zip = createGzip({ level: 6 });
    zip.end(await readFile(join(entry.parentPath, entry.name)));
    for await (const chunk of zip) total += (chunk as Buffer).length;
  }
  return total;
};

/** Makes a folder that runs the bench on a Linux x86-64 machine with a GPU, without npm and without a network. Gives its compressed size. */
export const pack = async (
  folder: string,
  { node = process.execPath }: { readonly node?: string } = {},
): Promise<number> => {
  if (existsSync(folder) && (await readdir(folder)).length > 0) throw new Error(`--pack: ${folder} is not empty`);
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('--pack: packs are made on Linux x86-64, for the same');
  const app = join(folder, 'app');
  await mkdir(app, { recursive: true });
  await bundle(app, { start: 'pack/portable.ts', child: 'run/child.ts', ours: 'stacks/ours.ts' }, 'by name');
  await copyDawn(join(app, 'node_modules'));
  await writeFile(join(app, 'references.json'), JSON.stringify(await referencesOf(paths.results)));
  await mkdir(join(folder, 'src/stacks'), { recursive: true });
  for (const name of ['protocol.py', 'pytorch.py'])
    await cp(join(paths.source, 'stacks', name), join(folder, 'src/stacks', name));
  await copyFile(node, join(folder, 'node'));
  await chmod(join(folder, 'node'), 0o755);
  await writeFile(join(folder, 'start.sh'), start, { mode: 0o755 });
  const size = await compressedSize(folder);
  if (size > packLimit) throw new Error(`--pack: ${folder} is ${size} bytes compressed, more than ${packLimit}`);
  return size;
};
