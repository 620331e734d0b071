import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build as esbuild } from 'esbuild';
import { build as vite } from 'vite';

const html = (script: string): string =>
  `<!doctype html><meta charset="utf-8"><title>peftjs</title><script type="module" src="${script}"></script>`;

/** Makes a page of a script in `folder`, into `out`. */
export type Bundler = (folder: string, script: string, out: string) => Promise<void>;

/** As esbuild makes it for browsers when it is told no more than that. */
export const withEsbuild: Bundler = async (folder, script, out) => {
  await esbuild({
    entryPoints: { page: join(folder, script) },
    bundle: true,
    format: 'esm',
    splitting: true,
    platform: 'browser',
    minify: true,
    outdir: out,
    logLevel: 'silent',
  });
  await writeFile(join(out, 'index.html'), html('page.js'));
};

/** As Vite makes a site of a folder with no configuration. */
export const buildSite = async (root: string, out: string): Promise<void> => {
  await vite({
    root,
    configFile: false,
    logLevel: 'warn',
    build: { outDir: out, emptyOutDir: true, target: 'es2022' },
  });
};

/** As Vite makes it with no configuration. */
export const withVite: Bundler = async (folder, script, out) => {
  const root = join(folder, 'vite-site');
  await mkdir(root, { recursive: true });
  await writeFile(join(root, 'index.html'), html(`../${script}`));
  await buildSite(root, out);
};

/** Bundles, for browsers, all that a package exports; throws with what esbuild says. */
export const bundleForBrowser = async (folder: string, name: string): Promise<void> => {
  await esbuild({
    stdin: { contents: `export * from '${name}';`, resolveDir: folder, loader: 'js' },
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    outdir: 'out',
    splitting: true,
    logLevel: 'silent',
  });
};
