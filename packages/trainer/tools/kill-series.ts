import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { reference } from '@peftjs/tensor';
import { loadModel, parameters } from '@peftjs/transformer';
import { tinyLlama } from '@peftjs/transformer/testing';
import { trainFromFile } from './train-from-file.ts';

/** A number of kills at moments that a seed draws. */
export interface KillOptions {
  readonly seed: number;
  readonly count: number;
}

/** Numbers from 0 to 1, the same for a seed. */
const random = (seed: number): (() => number) => {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
};

const start = (script: string, ...args: readonly string[]): ChildProcess =>
  spawn(
    process.execPath,
    ['--conditions=@peftjs/source', '--import', 'tsx', join(import.meta.dirname, script), ...args],
    { cwd: join(import.meta.dirname, '..'), stdio: ['ignore', 'pipe', 'inherit'] },
  );

/** Runs a script, and kills it some milliseconds after it has told so many lines, if it has not ended by then; all that it told. */
const killedAfter = async (child: ChildProcess, lines: number, wait: number): Promise<readonly string[]> => {
  let out = '';
  let isDue = false;
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    if (isDue || out.split('\n').length <= lines) return;
    isDue = true;
    void setTimeout(wait).then(() => child.kill('SIGKILL'));
  });
  await once(child, 'close');
  return out.split('\n').slice(0, -1);
};

const inFolder = async <T>(work: (dir: string) => Promise<T>): Promise<T> => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-kills-'));
  try {
    return await work(dir);
  } finally {
    await rm(dir, { recursive: true });
  }
};

/**
 * Kills runs on a stream of a file, with a checkpoint after each step, and lets them go on. Throws where more than the step in flight was lost, or where
 * the end is not, to the bit, that of a run which nobody killed. How many runs came to their end.
 */
export const killTraining = ({ seed, count }: KillOptions): Promise<number> =>
  inFolder(async (dir) => {
    const draw = random(seed);
    const data = join(dir, 'data.jsonl');
    const texts = Array.from({ length: 40 }, (_, i) => `${i} call me ishmael`.slice(0, 4 + (i % 14)));
    await writeFile(data, texts.map((text) => JSON.stringify({ text })).join('\n'));
    const wanted = JSON.stringify(await trainFromFile(data, null));
    let [kills, ends, last] = [0, 0, 0];
    while (kills < count || last > 0) {
      const child = start('train-from-file.ts', data, join(dir, `run-${ends}.safetensors`));
      const lines = await killedAfter(child, kills < count ? 1 + Math.floor(6 * draw()) : 1e9, 30 * draw());
      const steps = lines.flatMap((line) => /^step (\d+)$/.exec(line)?.[1] ?? []).map(Number);
      const [first = last + 1] = steps;
      // A step is told before it is written, so the one that was told last may be done again.
      if (first < last || first > last + 1) throw new Error(`after step ${last} the run went on with step ${first}`);
      last = steps.at(-1) ?? last;
      if (child.signalCode === 'SIGKILL') kills++;
      else if (lines.at(-1) !== wanted) throw new Error(`run ${ends} ended with ${lines.at(-1)}`);
      else [ends, last] = [ends + 1, 0];
    }
    return ends;
  });

const valuesOf = async (model: ReturnType<typeof tinyLlama>): Promise<string> => {
  const executor = reference();
  const all = [...parameters(model)].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(await Promise.all(all.map(async ([name, v]) => [name, [...(await executor.read(v))]])));
};

/** Kills a process that saves two models in turn. Throws where the folder is not one of them, whole; how often it was each. */
export const killSaveModel = ({ seed, count }: KillOptions): Promise<readonly number[]> =>
  inFolder(async (root) => {
    const dir = join(root, 'model');
    const draw = random(seed);
    const wanted = await Promise.all([1, 2].map((of) => valuesOf(tinyLlama({}, of))));
    const found = [0, 0];
    for (let i = 0; i < count; i++) {
      await killedAfter(start('save-models.ts', dir), 1 + Math.floor(3 * draw()), 40 * draw());
      const which = wanted.indexOf(await valuesOf(await loadModel(dir)));
      if (which < 0) throw new Error(`after kill ${i + 1} the folder is neither of the two models`);
      found[which]!++;
      const odd = (await readdir(dir)).filter((name) => /safetensors$|json$/.test(name) && !name.startsWith('.'));
      if (odd.length !== 2) throw new Error(`after kill ${i + 1} there are ${odd.join(', ')}`);
    }
    return found;
  });
