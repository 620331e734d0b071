import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { paths } from '../paths.ts';

/** Packages that are loaded where they are installed: they bring binaries, or are optional. */
const installed = /^(webgpu|onnxruntime-node|@sparticuz\/chromium|vitest)(\/.*)?$/;

/** They keep their names, or are named by where the package that asks for them finds them. */
const apart = (where: 'by name' | 'in place'): Plugin => ({
  name: 'installed packages',
  setup: ({ onResolve }) =>
    onResolve({ filter: installed }, ({ path, importer }) => ({
      path: where === 'in place' ? createRequire(importer).resolve(path) : path,
      external: true,
    })),
});

/** Bundles modules of the bench, named by what they are called in `folder`, as JavaScript that Node runs without a loader. */
export const bundle = async (
  folder: string,
  modules: Readonly<Record<string, string>>,
  where: Parameters<typeof apart>[0],
): Promise<void> => {
  await build({
    entryPoints: Object.fromEntries(
      Object.entries(modules).map(([name, module]) => [name, join(paths.source, module)]),
    ),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunk-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    conditions: ['@peftjs/source'],
    plugins: [apart(where)],
    minify: true,
    keepNames: true,
    logLevel: 'warning',
    // Packages in CommonJS within the bundle ask for Node's own.
    banner: { js: "import{createRequire as packRequire}from'node:module';const require=packRequire(import.meta.url);" },
  });
};
