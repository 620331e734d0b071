// Tries inputs of one target, one after the other, until it is told to stop. Runs in a thread of its own, which may be ended at any moment.
import { parentPort, workerData } from 'node:worker_threads';
import { isPeftError } from '@peftjs/tensor';
import { type FileMap, mutateFiles } from './mutate-files.ts';
import { random } from './random.ts';
import { faulty } from './targets/faulty.ts';
import { targets } from './targets/index.ts';

/** A run of one thread. */
export interface Work {
  readonly target: string;
  readonly seed: number;
  readonly from: number;
  readonly count: number;
  readonly seeds: readonly FileMap[];
  readonly context: FileMap;
  /** The number of the input that is being tried, and how many were accepted and refused. */
  readonly progress: SharedArrayBuffer;
}

/** A message of such a thread. */
export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'found'; readonly index: number; readonly what: string }
  | { readonly kind: 'done' };

const slow = 1000;
const large = 200 * 2 ** 20;
const longest = 1000;

const work = workerData as Work;
const target = [...targets, faulty].find(({ name }) => name === work.target)!;
const progress = new Int32Array(work.progress);
const tell = (message: Told): void => parentPort!.postMessage(message);
const peak = (): number => process.resourceUsage().maxRSS * 1024;

/** The fault of an error that is no answer to an odd file. */
const faultOf = (error: unknown): string | null => {
  if (!isPeftError(error)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  return error.message.length > longest ? `a message of ${error.message.length} characters: ${error.message}` : null;
};

const tryOnce = async (input: FileMap): Promise<{ readonly ms: number; readonly error: unknown }> => {
  const start = performance.now();
  const error = await target.run(input, work.context).then(
    () => undefined,
    (e: unknown) => e ?? 'null',
  );
  return { ms: performance.now() - start, error };
};

const inputAt = (index: number): FileMap => {
  const r = random(work.seed, index);
  return mutateFiles(r.of(work.seeds), r);
};

tell({ kind: 'ready' });
for (let index = work.from; index < work.from + work.count; index++) {
  Atomics.store(progress, 0, index);
  const before = process.memoryUsage.rss();
  const { ms, error } = await tryOnce(inputAt(index));
  Atomics.add(progress, error === undefined ? 1 : 2, 1);
  const fault = error === undefined ? null : faultOf(error);
  if (fault) tell({ kind: 'found', index, what: fault });
  // What the system or other programs were slow for once, is fast the next time.
  if (ms > slow) {
    const again = Math.min(ms, (await tryOnce(inputAt(index))).ms, (await tryOnce(inputAt(index))).ms);
    if (again > slow) tell({ kind: 'found', index, what: `took ${Math.round(again)} ms` });
  }
  if (peak() - before > large)
    tell({ kind: 'found', index, what: `took ${Math.round((peak() - before) / 2 ** 20)} MB` });
}
tell({ kind: 'done' });
