import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import type { Target } from './target.ts';
import type { Told, Work } from './worker.ts';

/** What was found at one input of a target. */
export interface Finding {
  readonly target: string;
  readonly index: number;
  readonly what: string;
}

/** The outcome of a run. */
export interface Outcome {
  readonly accepted: number;
  readonly refused: number;
  readonly findings: readonly Finding[];
}

/** Inputs of a target. */
export interface FuzzOptions {
  readonly seed: number;
  /** The first. Default 0. */
  readonly from?: number;
  readonly count: number;
  /** Most milliseconds without an answer. Default 20,000, for a machine that has much else to do; an answer after more than a second is a finding too. */
  readonly patience?: number;
}

const mostFindings = 20;

/** Bundles the worker into a folder, so that a thread of it starts in a moment. */
const bundle = async (dir: string): Promise<string> => {
  await build({
    entryPoints: [join(import.meta.dirname, 'worker.ts')],
    outdir: dir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    conditions: ['@peftjs/source'],
    external: ['onnxruntime-node', 'webgpu'],
    logLevel: 'error',
  });
  return join(dir, 'worker.mjs');
};

/** Runs one thread until it is done or does not answer any more; the number of the input that it stopped at, and what it told. */
const runThread = (script: string, work: Work, patience: number, tell: (told: Told) => void): Promise<number | null> =>
  new Promise((resolve, reject) => {
    const progress = new Int32Array(work.progress);
    Atomics.store(progress, 0, work.from);
    const thread = new Worker(script, { workerData: work, resourceLimits: { maxOldGenerationSizeMb: 1024 } });
    let [at, since] = [work.from, performance.now()];
    const watch = setInterval(() => {
      const now = Atomics.load(progress, 0);
      if (now !== at) [at, since] = [now, performance.now()];
      else if (performance.now() - since > patience) end(at);
    }, 200);
    const end = (result: number | null): void => {
      clearInterval(watch);
      void thread.terminate().then(() => resolve(result));
    };
    let isReady = false;
    thread.on('message', (told: Told) => {
      if (told.kind === 'ready') isReady = true;
      tell(told);
      if (told.kind === 'done') end(null);
    });
    // Out of memory, or an error that nobody waits for.
    thread.on('error', (error) => {
      clearInterval(watch);
      if (!isReady) return reject(error);
      const index = Atomics.load(progress, 0);
      tell({ kind: 'found', index, what: `ended the thread: ${error.stack ?? error.message}` });
      resolve(-1 - index);
    });
    thread.on('messageerror', reject);
  });

/** Tries so many inputs of a target, the same for the same seed. */
export const fuzz = async (
  target: Target,
  { seed, from = 0, count, patience = 20_000 }: FuzzOptions,
): Promise<Outcome> => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-fuzz-'));
  try {
    const script = await bundle(dir);
    const [seeds, context] = [await target.seeds(), (await target.context?.()) ?? new Map()];
    const findings: Finding[] = [];
    let [accepted, refused] = [0, 0];
    const tell = (told: Told): void => {
      if (told.kind === 'found') findings.push({ target: target.name, index: told.index, what: told.what });
    };
    for (let at = from; at < from + count && findings.length < mostFindings; ) {
      const progress = new SharedArrayBuffer(12);
      const work: Work = { target: target.name, seed, from: at, count: from + count - at, seeds, context, progress };
      const stopped = await runThread(script, work, patience, tell);
      const [, taken = 0, not = 0] = new Int32Array(progress);
      [accepted, refused] = [accepted + taken, refused + not];
      if (stopped === null) break;
      if (stopped >= 0)
        findings.push({ target: target.name, index: stopped, what: `gave no answer in ${patience} ms` });
      at = (stopped >= 0 ? stopped : -1 - stopped) + 1;
    }
    return { accepted, refused, findings };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};
