import { fileAt, writable } from '@peftjs/io';
import { type Executor, isPeftError, PeftError, type Variable } from '@peftjs/tensor';
import { type CheckpointOptions, exists, restoreFrom } from './checkpoint.ts';
import { differences } from './run-identity.ts';
import { type Log, parseRun, type RunIdentity, type RunState } from './run-state.ts';

/** The checkpoint that a run goes on from. */
export interface Resumed {
  readonly file: string;
  /** Steps done. */
  readonly step: number;
  /** Newer ones that could not be read, and why. */
  readonly unsound: readonly string[];
}

/** The run that a checkpoint must be of. */
export interface RunAsked {
  readonly steps: number;
  readonly run: RunIdentity;
}

/** Checkpoints of a run that are kept unless it says otherwise. */
export const keptByDefault = 2;

const damages: readonly string[] = ['bad-safetensors', 'bad-data', 'read-failed'];

/** Throws `write-failed` where no checkpoint could be written, so that it is known before the first step. */
export const tryCheckpoint = async ({ file }: CheckpointOptions): Promise<void> => {
  const { files, path } = await fileAt(file);
  await writable(files).attempt?.(path);
};

/** The files of the checkpoints that are kept, the newest first. */
const kept = (newest: string, keep: number): string[] =>
  Array.from({ length: keep }, (_, age) => (age === 0 ? newest : `${newest}.${age}`));

/**
 * Restores variables from the newest checkpoint that is sound; null when there is none. Throws `state-mismatch`, with what differs, where it belongs
 * to another run or has more steps than asked for, and `bad-data` where none that is kept is sound.
 */
export const openRun = async (
  { file: newest, keep = keptByDefault, from }: CheckpointOptions,
  variables: readonly Variable[],
  executor: Executor,
  { steps, run }: RunAsked,
): Promise<(RunState<Log> & { readonly from: Resumed }) | null> => {
  const unsound: string[] = [];
  let fault: unknown = null;
  if (from !== undefined && !(await exists(from)))
    throw new PeftError('bad-option', `train: the checkpoint to go on from, ${from}, is not there`);
  const files = from === undefined ? kept(newest, keep) : [from];
  for (const file of files) {
    if (!(await exists(file))) break;
    try {
      const { run: _, ...state } = await restoreFrom(file, variables, executor, (text) => {
        const stored = parseRun(text);
        if (typeof stored === 'string') return stored;
        const problems = differences(stored.run, run);
        if (stored.step > steps)
          problems.push(`it is after step ${stored.step}, the run asks for ${steps} steps in all`);
        return { state: stored, problems };
      });
      return { ...state, from: { file, step: state.step, unsound } };
    } catch (error) {
      if (!isPeftError(error) || !damages.includes(error.code)) throw error;
      fault ??= error;
      unsound.push(error.message);
    }
  }
  if (fault) throw fault;
  return null;
};
