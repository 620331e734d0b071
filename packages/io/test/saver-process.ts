import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { build } from 'esbuild';

/** Bundles `saver.ts` into a folder, so that a process of it starts in a moment; the path of the bundle. */
export const bundleSaver = async (folder: string): Promise<string> => {
  await build({
    entryPoints: [join(import.meta.dirname, 'saver.ts')],
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    conditions: ['@peftjs/source'],
    logLevel: 'error',
  });
  return join(folder, 'saver.mjs');
};

/** Starts the saver. */
export const startSaver = (bundle: string, ...args: readonly (string | number)[]): ChildProcess =>
  spawn(process.execPath, [bundle, ...args.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] });

/** Waits until the saver has saved once. */
export const hasSaved = async (child: ChildProcess): Promise<number> =>
  Number(String((await once(child.stdout!, 'data'))[0]));

/** Waits until a process has ended; what it printed. */
export const ended = async (child: ChildProcess): Promise<string> => {
  let text = '';
  child.stdout?.on('data', (piece) => (text += piece));
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return text;
};
