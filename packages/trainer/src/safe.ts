import type { Cursor } from '@peftjs/data';
import {
  byteSize,
  compile,
  type Executable,
  type Executor,
  isPeftError,
  PeftError,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import { type CheckpointOptions, exists, restoreFrom, writeCheckpoint } from './checkpoint.ts';
import { keptByDefault, openRun, type Resumed, tryCheckpoint } from './run-checkpoint.ts';
import { differences } from './run-identity.ts';
import { type Log, parseRun, type RunIdentity, type RunState } from './run-state.ts';

/** The last good state of a run: in its file, and newer on the device and the host. */
export interface Safe {
  /** Restores what the file holds: the steps that were done, where the data stood, and which file it was. Throws `state-mismatch`, `write-failed`. */
  open(): Promise<Pick<RunState<Log>, 'step' | 'data'> & { readonly from: Resumed | null }>;
  /** Begins at a state that came from elsewhere. */
  restore(state: RunState<Log>): void;
  /** Notes that a step starts: from now on it may be what fails. */
  begin(step: number): void;
  /** Notes where the data stands after the step that has begun. */
  stands(data: Cursor | null): void;
  /** Notes that the device has done so many more steps. */
  reach(count: number): void;
  /** Whether `keep` has something to do after a step. */
  isDue(step: number): boolean;
  /** Writes or copies the state, where that is due, or writes it `now`. All steps begun must have been reached. */
  keep(now: boolean): Promise<void>;
  /** Whether there is a file. */
  readonly hasFile: boolean;
  /** Writes the state to a file of its own, `<file>.best`. All steps begun must have been reached. */
  keepBest(): Promise<void>;
  /** Restores the variables from that file; whether it is there. */
  restoreBest(): Promise<boolean>;
  /** Does what changes the state by several steps of the host: in its midst the state is not good. */
  whole(work: () => Promise<void>): Promise<void>;
  /** Writes the newest good state that there is, and gives the error to end with. `settle` waits for the steps that the device still does. */
  rescue(error: unknown, settle: () => Promise<unknown>): Promise<unknown>;
  close(): void;
}

/** A checkpoint that was written. */
export interface KeptCheckpoint {
  readonly file: string;
  /** Steps done. */
  readonly step: number;
}

/** The parts of a run that is kept. */
export interface SafeOptions {
  readonly executor: Executor;
  readonly steps: number;
  readonly readEvery: number;
  readonly checkpoint?: CheckpointOptions;
  readonly onCheckpoint?: (kept: KeptCheckpoint) => unknown;
  /** The run, for its checkpoint: asked for where there is one. */
  identity(): Promise<RunIdentity>;
}

interface Copy {
  readonly state: RunState<Log>;
  readonly values: Readonly<Record<string, TypedArray>>;
}

/** State of more bytes is copied to the host only when asked. */
const smallState = 2 ** 26;

const copyEveryOf = (variables: readonly Variable[], { executor, readEvery, checkpoint }: SafeOptions): number => {
  if (checkpoint?.copyEvery !== undefined) return checkpoint.copyEvery;
  const bytes = variables.reduce((n, v) => n + byteSize(v), 0);
  return executor.name === 'webgpu' && bytes <= smallState ? readEvery : Number.POSITIVE_INFINITY;
};

/** Keeps the state of a run, `variables` and `log`. */
export const makeSafe = (variables: readonly Variable[], log: Log, options: SafeOptions): Safe => {
  const { executor, steps, checkpoint, onCheckpoint } = options;
  let run: RunIdentity = {};
  let copyEvery = copyEveryOf(variables, options);
  let [begun, reached, written] = [0, 0, 0];
  /** Where the data stood after the last step that was reached, and after those under way. */
  let data: Cursor | null = null;
  const ahead: (Cursor | null)[] = [];
  let torn = false;
  let copy: Copy | null = null;
  let reader: Executable | null = null;

  const stateNow = (): RunState<Log> => ({
    step: reached,
    data,
    log: {
      losses: [...log.losses],
      evaluated: [...log.evaluated],
      skipped: [...log.skipped],
      rewarmed: log.rewarmed.filter((r) => r.after <= reached),
    },
  });
  const isCopied = (step: number): boolean => checkpoint !== undefined && step % copyEvery === 0;
  const isWritten = (step: number): boolean => checkpoint !== undefined && step % checkpoint.every === 0;

  const writeState = async (state: RunState<Log>, read: Executor['read']): Promise<void> => {
    const { file, keep = keptByDefault } = checkpoint!;
    await writeCheckpoint(file, variables, { ...state, run } as RunState<Log>, { executor: { read }, keep });
    await onCheckpoint?.({ file, step: state.step });
  };
  const bestFile = checkpoint && `${checkpoint.file}.best`;
  const write = async (): Promise<void> => {
    await writeState(stateNow(), (v) => executor.read(v));
    written = reached;
  };
  const writeCopy = async ({ values, state }: Copy): Promise<void> => {
    await writeState(state, async (v) => values[v.node.name]!);
    written = state.step;
  };
  const take = async (): Promise<void> => {
    try {
      // A program of nothing but results: all of them come in one go.
      reader ??= await compile({ outputs: Object.fromEntries(variables.map((v) => [v.node.name, v])) }, { executor });
      copy = { state: stateNow(), values: await reader.run() };
    } catch (error) {
      // What nobody asked for must not end a run that fits without it.
      const isAsked = checkpoint?.copyEvery !== undefined;
      if (isAsked || !isPeftError(error) || error.code !== 'out-of-memory') throw error;
      copyEvery = Number.POSITIVE_INFINITY;
    }
  };

  /** Brings the newest good state to the file; what hindered it. */
  const salvage = async (settle: () => Promise<unknown>): Promise<unknown> => {
    // Runs that the device refused are told once; those that it did are then still there.
    for (let attempt = 0; attempt < 2; attempt++) if (await settle().then(Boolean, () => false)) break;
    try {
      if (!torn && reached > written) await write();
      return null;
    } catch (problem) {
      if (!copy || copy.state.step <= written) return problem;
      return writeCopy(copy).then(
        () => null,
        (again: unknown) => again,
      );
    }
  };

  const where = (): string => {
    if (begun === reached) return `after step ${reached} of ${steps}`;
    return begun === reached + 1
      ? `in step ${begun} of ${steps}`
      : `in one of the steps ${reached + 1} to ${begun} of ${steps}`;
  };
  const outcome = (problem: unknown): string => {
    if (!checkpoint) return 'nothing was kept of the run: give `checkpoint`';
    const failed = problem && written < reached ? ` (not further: ${(problem as Error).message})` : '';
    return written > 0
      ? `${checkpoint.file} keeps the run up to step ${written}${failed}: train with the same options on an executor that works to go on from there`
      : `no step was kept${failed}`;
  };

  const restore: Safe['restore'] = (state) => {
    for (const name of ['losses', 'evaluated', 'skipped', 'rewarmed'] as const)
      (log[name] as unknown[]).push(...state.log[name]);
    begun = reached = state.step;
    data = state.data;
  };

  return {
    restore,
    open: async () => {
      if (!checkpoint) return { step: 0, data: null, from: null };
      run = await options.identity();
      const restored = await openRun(checkpoint, variables, executor, { steps, run });
      if ((restored?.step ?? 0) < steps) await tryCheckpoint(checkpoint);
      if (!restored) return { step: 0, data: null, from: null };
      restore(restored);
      written = restored.step;
      return restored;
    },
    begin: (step) => {
      begun = step;
    },
    stands: (cursor) => void ahead.push(cursor),
    reach: (count) => {
      reached += count;
      data = ahead.splice(0, count).at(-1) ?? data;
    },
    isDue: (step) => isWritten(step) || isCopied(step),
    keep: async (now) => {
      if (!checkpoint) return;
      if (now ? reached > written : isWritten(reached)) await write();
      else if (isCopied(reached)) await take();
    },
    hasFile: checkpoint !== undefined,
    keepBest: async () => {
      if (!bestFile) return;
      await writeCheckpoint(bestFile, variables, { ...stateNow(), run } as RunState<Log>, { executor });
    },
    restoreBest: async () => {
      if (!bestFile || !(await exists(bestFile))) return false;
      await restoreFrom(bestFile, variables, executor, (text) => {
        const stored = parseRun(text);
        return typeof stored === 'string' ? stored : { state: stored, problems: differences(stored.run, run) };
      });
      return true;
    },
    whole: async (work) => {
      torn = true;
      await work();
      torn = false;
    },
    rescue: async (error, settle) => {
      if (!isPeftError(error) || error.code === 'diverged') {
        // What has diverged must not take the place of what was good.
        if (checkpoint && !isPeftError(error)) await salvage(settle);
        return error;
      }
      // Before it is known which of them the device has done.
      const place = where();
      const problem = checkpoint ? await salvage(settle) : await settle().catch(() => null);
      return new PeftError(error.code, `train: ${place}: ${error.message}; ${outcome(problem)}`, { cause: error });
    },
    close: () => reader?.close(),
  };
};
