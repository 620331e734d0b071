import { availableParallelism } from 'node:os';
import { PeftError } from '@peftjs/tensor';
import { alone, type Group } from '@peftjs/trainer';
import { type Calls, callsOf } from './calls.ts';
import { checkVersions, everyone, thisProcess, threadsOf } from './everyone.ts';
import { type Launcher, launcher } from './launcher.ts';
import { openLibrary } from './library.ts';

/** The processes that an MPI launcher has started. */
export interface Mpi {
  /** For `train` and `shard`. */
  readonly group: Group;
  /** Threads that fit this process beside the others of its machine: `cpu({ threads })`. */
  readonly threads: number;
  /** The library in its own words; null where this process was started alone. */
  readonly library: string | null;
  /** Leaves, once all have come so far. A program that just ends does so by itself. */
  close(): Promise<void>;
}

/** A number that tells lengths apart and is exact in f32. */
const mark = (length: number): number => length % 65_521;

/** Collectives come in the same order in all processes, one at a time. */
const groupOf = (calls: Calls, rank: number, size: number): Group => {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = last.then(work);
    last = done.catch(() => {});
    return done;
  };
  let scratch = new Float32Array(0);
  return {
    rank,
    size,
    // Some libraries add up arrays of unlike lengths without an error: the length goes along, in front.
    allReduce: (values) =>
      inTurn(async () => {
        if (scratch.length !== values.length + 1) scratch = new Float32Array(values.length + 1);
        scratch[0] = mark(values.length);
        scratch.set(values, 1);
        await calls.allReduce(scratch);
        if (scratch[0] !== size * mark(values.length))
          throw new PeftError(
            'state-mismatch',
            `allReduce: process ${rank} gives ${values.length} values, another one gives another number; all must train the same parameters`,
          );
        values.set(scratch.subarray(1));
      }),
    broadcast: (values, root) => inTurn(() => calls.broadcast(values, root)),
  };
};

/**
 * Ends all processes where one of them fails, which the others would wait for else: at errors that nobody catches, and at an end before `close`, which some launchers
 * take for a success. A program that comes to its end closes by itself.
 */
const guard = (calls: Calls, rank: number) => {
  let isOpen = true;
  const fail = (error: unknown): void => {
    console.error(`process ${rank}:`, error);
    calls.abort(1);
  };
  const leave = (): void => {
    if (!isOpen) return;
    isOpen = false;
    calls.finalize();
  };
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
  process.on('beforeExit', leave);
  process.on('exit', (code) => {
    if (!isOpen) return;
    console.error(
      `process ${rank}: ends before the others, which end too; \`await mpi.close()\` comes before process.exit`,
    );
    calls.abort(code || 1);
  });
  return leave;
};

const mixed = ({ name, size: told }: Launcher, size: number, library: string): PeftError =>
  new PeftError(
    'device-unavailable',
    `openMpi: ${name} started ${told} processes, but the library sees ${size}: they belong to different installations. Use the launcher of the library, ` +
      `or name the library of the launcher in PEFTJS_MPI_LIB (Slurm: \`srun --mpi=pmix\`, or pmi2 for MPICH). The library: ${library}`,
  );

/**
 * Joins the processes that `mpirun -n 4 node train.mjs` or `srun` has started; alone, without a launcher, it gives a group of one and loads nothing. Call it once, before
 * all else that takes time. Throws `device-unavailable` where there is no library or it is not that of the launcher, `state-mismatch` where versions of
 * peftjs, Node or MPI differ.
 */
export const openMpi = async (): Promise<Mpi> => {
  const started = launcher();
  if (!started) return { group: alone, threads: availableParallelism(), library: null, close: async () => {} };
  const calls = callsOf(await openLibrary());
  calls.init();
  const [rank, size, library] = [calls.rank(), calls.size(), calls.version()];
  const leave = guard(calls, rank);
  if (size !== started.size) throw mixed(started, size, library);
  const group = groupOf(calls, rank, size);
  const own = thisProcess(library);
  const all = await everyone(own, group);
  checkVersions(all);
  return { group, threads: threadsOf(own, all), library, close: async () => leave() };
};
