import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { runNode } from './run.ts';

/** What importing a package did to a fresh process. */
export interface ImportEffects {
  /** Processor time that it took. */
  readonly milliseconds: number;
  /** Globals, variables of the environment, listeners, timers and open handles that were not there before. */
  readonly leftBehind: readonly string[];
  /** Native libraries that were loaded. */
  readonly libraries: readonly string[];
  /** What it printed, apart from this report. */
  readonly printed: string;
}

const probe = `
process.report.excludeNetwork = true;
const libraries = () => process.report.getReport().sharedObjects;
const state = () => [
  ...Reflect.ownKeys(globalThis).map((key) => 'global ' + String(key)),
  ...[Object, Array, Function, Promise].flatMap((c) => Reflect.ownKeys(c.prototype).map((key) => c.name + '.prototype.' + String(key))),
  ...Object.entries(process.env).map((pair) => 'environment ' + pair.join('=')),
  ...process.eventNames().map((name) => 'listener ' + String(name) + ' x ' + process.listenerCount(name)),
  ...process.getActiveResourcesInfo().map((name) => 'handle ' + name),
];
const [librariesBefore, before] = [libraries(), new Set(state())];
const start = process.cpuUsage();
await import(process.argv[2]);
const { user, system } = process.cpuUsage(start);
const leftBehind = state().filter((name) => !before.has(name));
const loaded = libraries().filter((name) => !librariesBefore.includes(name));
console.log('\\n' + JSON.stringify({ milliseconds: (user + system) / 1000, leftBehind, libraries: loaded }));
`;

/** Imports a package in a fresh process of plain Node and tells what that did. */
export async function importEffects(folder: string, name: string): Promise<ImportEffects> {
  const script = join(folder, 'probe.mjs');
  await writeFile(script, probe);
  const lines = (await runNode(script, folder, name)).trimEnd().split('\n');
  return { ...JSON.parse(lines.pop()!), printed: lines.join('\n').trim() };
}

/** What Node reads and parses to import a package: what is imported on demand is not in it. */
export interface ImportSize {
  readonly files: number;
  readonly bytes: number;
}

/** The JavaScript that importing a package reads, its dependencies' too: what its time depends on, whatever the machine is busy with. */
export async function importSize(folder: string, name: string): Promise<ImportSize> {
  const { metafile } = await build({
    stdin: { contents: `import '${name}';`, resolveDir: folder, loader: 'js' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    treeShaking: false,
    metafile: true,
    write: false,
    external: ['webgpu', 'onnxruntime-node'],
  });
  const read = new Set<string>();
  const visit = (path: string): void => {
    if (read.has(path)) return;
    read.add(path);
    for (const { path: next, kind, external } of metafile.inputs[path]!.imports)
      if (kind !== 'dynamic-import' && !external) visit(next);
  };
  for (const { path } of metafile.inputs['<stdin>']!.imports) visit(path);
  return { files: read.size, bytes: [...read].reduce((sum, path) => sum + metafile.inputs[path]!.bytes, 0) };
}
