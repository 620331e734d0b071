import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { randomSource } from '@peftjs/tensor';
import { environment } from './environment.ts';

/**
 * Kills one of several processes that train, at moments that a seed draws, from the launcher's start on: all must end within 5 seconds, with a code that is not 0. `kills.ts [TIMES] [SEED] [PROCESSES]`, with
 * an mpirun on the PATH, on Linux or macOS.
 */
const [times = 20, seed = 1, processes = 2] = process.argv.slice(2).map(Number);
const launcher = process.env['MPIRUN'] ?? 'mpirun';
const script = join(import.meta.dirname, 'train-in-group.ts');
const node = [process.execPath, '--conditions=@peftjs/source', '--import', 'tsx', script];
const out = await mkdtemp(join(tmpdir(), 'peftjs-kills-'));

const childrenOf = async (pid: number): Promise<number[]> => {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,comm=']);
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent, name]) => Number(parent) === pid && /node|MainThread/.test(name ?? ''))
    .map(([own]) => Number(own));
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Starts the processes; `onStep` is told of every step. */
const start = (onStep: (step: number) => void) => {
  const asked = JSON.stringify({ out, steps: 1_000_000, batchSize: 2 });
  const child = spawn(launcher, ['-n', String(processes), ...node, asked], {
    env: environment,
    cwd: join(import.meta.dirname, '..'),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.stderr.on('data', (text) => {
    const step = /step (\d+)\n?$/.exec(String(text))?.[1];
    if (step) onStep(Number(step));
  });
  return child;
};

/** Seconds until the first step, for moments in the start as well as in the training. */
const startSeconds = async (): Promise<number> => {
  const began = performance.now();
  const child = await new Promise<ReturnType<typeof start>>((ready) => {
    const started = start(() => ready(started));
  });
  const seconds = (performance.now() - began) / 1000;
  const [one] = await childrenOf(child.pid!);
  process.kill(one!, 'SIGKILL');
  await once(child, 'close');
  return seconds;
};

const drawn = randomSource(seed, 'kills');
const first = await startSeconds();
console.log(`the first step is done after ${first.toFixed(1)} s; ${times} times one of ${processes} is killed`);
let [most, bad] = [0, 0];
for (let i = 0; i < times!; i++) {
  const at = 0.2 + drawn() * 1.5 * first;
  let last = 0;
  const child = start((step) => {
    last = step;
  });
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  await sleep(1000 * at);
  const all = await childrenOf(child.pid!);
  const victim = all[Math.floor(drawn() * all.length)];
  if (victim === undefined) throw new Error('mpirun has started no process yet');
  process.kill(victim, 'SIGKILL');
  const killed = performance.now();
  const [code] = await closed;
  // The launcher may be gone a moment before the last of its processes.
  while (all.some(isAlive) && performance.now() < killed + 5000) await sleep(20);
  const seconds = (performance.now() - killed) / 1000;
  const left = all.filter(isAlive).length;
  most = Math.max(most, seconds);
  const isBad = code === 0 || seconds > 5 || left > 0;
  if (isBad) bad++;
  console.log(
    `${i + 1}: after ${at.toFixed(2)} s, step ${last}: code ${code}, all over after ${seconds.toFixed(2)} s${left ? `, ${left} LEFT` : ''}${isBad ? ' BAD' : ''}`,
  );
}
await rm(out, { recursive: true });
console.log(`${times! - bad} of ${times} ended within 5 s and not with 0; the longest took ${most.toFixed(2)} s`);
process.exitCode = bad > 0 ? 1 : 0;
