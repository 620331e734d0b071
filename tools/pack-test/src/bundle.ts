import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';

/** A bundle: its size and which packages it holds code of. */
export interface Bundle {
  /** Bytes, minified, that are loaded before anything is used: without the pieces that are loaded when asked for. */
  readonly size: number;
  /** Bytes of each package in it, by name. */
  readonly packages: Readonly<Record<string, number>>;
}

/** The pieces of a build that its first one loads at once, and those that these load. */
const loadedAtOnce = (outputs: Metafile['outputs']): ReadonlySet<string> => {
  const entry = Object.keys(outputs).find(
    (path) => outputs[path]!.entryPoint !== undefined && path.endsWith('stdin.js'),
  )!;
  const found = new Set([entry]);
  for (const path of found)
    for (const { path: next, kind } of outputs[path]!.imports)
      if (kind === 'import-statement' && Object.hasOwn(outputs, next)) found.add(next);
  return found;
};

/** Bundles and minifies what a user of the packages in `folder` writes. */
export async function bundle(folder: string, source: string, platform: 'node' | 'browser' = 'node'): Promise<Bundle> {
  const { metafile } = await build({
    stdin: { contents: source, resolveDir: folder, loader: 'js' },
    bundle: true,
    format: 'esm',
    platform,
    target: platform === 'node' ? 'node20' : 'es2023',
    minify: true,
    metafile: true,
    write: false,
    splitting: true,
    outdir: join(folder, 'bundled'),
    // Their native libraries cannot be bundled.
    external: ['webgpu', 'onnxruntime-node'],
  });
  const packages: Record<string, number> = {};
  let size = 0;
  for (const output of loadedAtOnce(metafile.outputs)) {
    const { bytes, inputs } = metafile.outputs[output]!;
    size += bytes;
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(path)?.[1];
      if (name && bytesInOutput > 0) packages[name] = (packages[name] ?? 0) + bytesInOutput;
    }
  }
  return { size, packages };
}

const file = join(import.meta.dirname, '../bundle-size.json');

/** The sizes that are on record, in bytes, by what the bundle imports. */
export const recordedSizes = (): Readonly<Record<string, number>> => JSON.parse(readFileSync(file, 'utf8'));

/** Puts a size on record. */
export const recordSize = (name: string, size: number): void =>
  writeFileSync(file, `${JSON.stringify({ ...recordedSizes(), [name]: size }, null, 2)}\n`);
