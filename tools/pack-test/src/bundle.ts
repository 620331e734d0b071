import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

/** A bundle: its size and which packages it holds code of. */
export interface Bundle {
  /** Bytes, minified. */
  readonly size: number;
  /** Bytes of each package in it, by name. */
  readonly packages: Readonly<Record<string, number>>;
}

/** Bundles and minifies what a user of the packages in `folder` writes. */
export async function bundle(folder: string, source: string, platform: 'node' | 'browser' = 'node'): Promise<Bundle> {
  const { metafile, outputFiles } = await build({
    stdin: { contents: source, resolveDir: folder, loader: 'js' },
    bundle: true,
    format: 'esm',
    platform,
    target: platform === 'node' ? 'node20' : 'es2023',
    minify: true,
    metafile: true,
    write: false,
    // Their native libraries cannot be bundled.
    external: ['webgpu', 'onnxruntime-node'],
  });
  const packages: Record<string, number> = {};
  for (const [path, { bytesInOutput }] of Object.entries(Object.values(metafile.outputs)[0]!.inputs)) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(path)?.[1];
    if (name && bytesInOutput > 0) packages[name] = (packages[name] ?? 0) + bytesInOutput;
  }
  return { size: outputFiles[0]!.contents.length, packages };
}

const file = join(import.meta.dirname, '../bundle-size.json');

/** The sizes that are on record, in bytes, by what the bundle imports. */
export const recordedSizes = (): Readonly<Record<string, number>> => JSON.parse(readFileSync(file, 'utf8'));

/** Puts a size on record. */
export const recordSize = (name: string, size: number): void =>
  writeFileSync(file, `${JSON.stringify({ ...recordedSizes(), [name]: size }, null, 2)}\n`);
