import { spawn } from 'node:child_process';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** What became of a script. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a script. */
export interface ScriptOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly flags?: readonly string[];
  /** Is told of the process as soon as it runs. */
  readonly watch?: (pid: number) => void;
}

const here = fileURLToPath(new URL('.', import.meta.url));
const runtime = createRequire(import.meta.url).resolve('onnxruntime-node');

/** Bundles a script, and the host of the cpu executor beside it, as a built package has them. */
const bundle = async (script: string, folder: string): Promise<string> => {
  await build({
    entryPoints: { host: join(here, '../src/host.ts'), script: 'script' },
    outdir: folder,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    conditions: ['@peftjs/source'],
    plugins: [
      {
        name: 'script',
        setup: ({ onResolve, onLoad }) => {
          onResolve({ filter: /^script$/ }, () => ({ path: 'script', namespace: 'script' }));
          onLoad({ filter: /.*/, namespace: 'script' }, () => ({ contents: script, loader: 'ts', resolveDir: here }));
          onResolve({ filter: /^onnxruntime-node$/ }, () => ({ path: runtime, external: true }));
        },
      },
    ],
  });
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  return join(folder, 'script.js');
};

/** Runs a module of TypeScript, which imports what a test may import, in a fresh process of plain Node. */
export const runScript = async (script: string, options: ScriptOptions = {}): Promise<Ended> => {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'peftjs-script-')));
  try {
    const file = await bundle(script, folder);
    const child = spawn(process.execPath, [...(options.flags ?? []), file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: options.cwd ?? folder,
      env: { ...process.env, ...options.env },
    });
    options.watch?.(child.pid!);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (text) => (stdout += text));
    child.stderr.on('data', (text) => (stderr += text));
    return await new Promise<Ended>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
