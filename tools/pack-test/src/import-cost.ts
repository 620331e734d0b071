import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runNode } from './run.ts';

/** What importing a package did to a fresh process. */
export interface ImportEffects {
  /** Processor time that it took: the time that passes on a machine with nothing else to do, measurable on any. */
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

const leastTime = async (folder: string, name: string): Promise<number> => {
  const measured: number[] = [];
  for (let i = 0; i < 7; i++) measured.push((await importEffects(folder, name)).milliseconds);
  return Math.min(...measured);
};

/**
 * Milliseconds of processor time that importing a package takes, beyond what Node takes to import an empty module. The least of several
 * fresh processes: whatever else the machine does only adds to it.
 */
export async function importTime(folder: string, name: string): Promise<number> {
  const empty = join(folder, 'empty.mjs');
  await writeFile(empty, 'export {};');
  return (await leastTime(folder, name)) - (await leastTime(folder, empty));
}
