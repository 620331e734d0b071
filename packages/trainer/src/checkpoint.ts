import {
  bytesOfArray,
  fileAt,
  openSafetensors,
  sha256,
  type TensorReader,
  type WriteTensor,
  writable,
  writeSafetensors,
} from '@peftjs/io';
import { type Executor, PeftError, type TypedArray, type Variable } from '@peftjs/tensor';
import { allFinite, listed } from './finite.ts';
import { parseState, type RunState } from './run-state.ts';

/** Where a run's state is kept, and how often it is written. */
export interface CheckpointOptions {
  /** A safetensors file: weights, optimiser state, and the steps so far. If it is there, the run goes on from it. */
  readonly file: string;
  /** Steps between two writes; the last step of a run is written too. */
  readonly every: number;
  /**
   * Checkpoints that are kept: the newest in `file`, those before it in `<file>.1` and so on. If the newest can't be read, the run goes on from the one before,
   * and says so. Default 2.
   */
  readonly keep?: number;
  /** Another checkpoint of this run to go on from than the newest, such as `run.safetensors.1`. Where it isn't sound, the run is refused. */
  readonly from?: string;
  /**
   * Steps between copies of the same state in the host's memory: a device that is lost can't be read any more, and then the newest copy is
   * written. Default: on WebGPU as often as losses are read, where the state takes at most 64 MiB, as an adapter's does; else none, so that what is
   * left is the file as it was written last.
   */
  readonly copyEvery?: number;
}

const metadataKey = 'peftjs.run';

/** The SHA-256 of all that is before it. Files hold tensors by falling size of their elements, so one of BOOL is made when all others have been. */
const digestName = 'peftjs.sha256';

const fileTypes = { f32: 'F32', f16: 'F16', i32: 'I32', u32: 'U32', u8: 'U8' } as const;

/** Whether there is such a file. */
export const exists = async (file: string): Promise<boolean> => {
  const { files, path } = await fileAt(file);
  return (await files.size(path)) !== null;
};

const running = (state: string) => {
  const hash = sha256();
  const text = new TextEncoder();
  hash.update(text.encode(state));
  return {
    add: (name: string, data: ArrayBufferView): void => {
      hash.update(text.encode(name));
      hash.update(bytesOfArray(data));
    },
    digest: async (): Promise<Uint8Array> =>
      Uint8Array.from((await hash.digest()).match(/../g)!, (byte) => Number.parseInt(byte, 16)),
  };
};

/** The executor that has the values, and how many checkpoints are kept. */
export interface WriteCheckpointOptions {
  readonly executor: Pick<Executor, 'read'>;
  /** Those before the new one become `<file>.1` and so on. Default 1: none of them is kept. */
  readonly keep?: number;
}

/**
 * Writes variables, each under its name, and the state of a run; the file holds the last whole checkpoint at every moment. `train` does so by itself; a
 * loop of your own keeps `params`, `state` and `running` of what it trains and the `state` of its step. Throws `write-failed`, and `diverged`
 * where a value is no finite number: the file then stays as it was.
 */
export const writeCheckpoint = async <L>(
  file: string,
  variables: readonly Variable[],
  state: RunState<L>,
  { executor, keep = 1 }: WriteCheckpointOptions,
): Promise<void> => {
  const text = JSON.stringify(state);
  const hash = running(text);
  const sound = async (v: Variable): Promise<TypedArray> => {
    const data = await executor.read(v);
    if (!allFinite(data))
      throw new PeftError(
        'diverged',
        `train: after step ${state.step} ${v.node.name} holds what is no finite number, so it is not written to ${file}, which stays as it was; ` +
          'lower the learning rate or lengthen the warm-up',
      );
    hash.add(v.node.name, data);
    return data;
  };
  const tensors = new Map<string, WriteTensor>(
    variables.map((v) => [v.node.name, { dtype: fileTypes[v.dtype], shape: v.shape, data: () => sound(v) }]),
  );
  tensors.set(digestName, { dtype: 'BOOL', shape: [32], data: hash.digest });
  const { files, path } = await fileAt(file);
  await writable(files).keep?.(path, keep - 1);
  await writeSafetensors(file, tensors, { [metadataKey]: text });
};

const misfits = (reader: TensorReader, variables: readonly Variable[]): string[] => {
  const names = new Set([digestName, ...variables.map((v) => v.node.name)]);
  const problems = variables.flatMap((v) => {
    const found = reader.tensors.get(v.node.name);
    if (!found) return [`${v.node.name} is missing`];
    const [got, wanted] = [`${found.dtype.toLowerCase()} [${found.shape}]`, `${v.dtype} [${v.shape}]`];
    return got === wanted ? [] : [`${v.node.name} is ${got}, the run takes ${wanted}`];
  });
  for (const name of reader.tensors.keys())
    if (!names.has(name)) problems.push(`${name} belongs to nothing in the run`);
  return problems.length > 8 ? [...problems.slice(0, 8), `and ${problems.length - 8} more`] : problems;
};

/** Throws `bad-data` where the tensors are not those that were written. */
const checkTensors = async (file: string, reader: TensorReader, text: string): Promise<void> => {
  const hash = running(text);
  const odd: string[] = [];
  for (const name of reader.tensors.keys()) {
    if (name === digestName) continue;
    const data = (await reader.read(name)).data as TypedArray;
    hash.add(name, data);
    if (!allFinite(data)) odd.push(name);
  }
  if (odd.length > 0)
    throw new PeftError(
      'bad-data',
      `${file}: ${listed(odd)} ${odd.length === 1 ? 'holds' : 'hold'} what is no finite number; go on from another file`,
    );
  const stored = reader.tensors.has(digestName) ? (await reader.read(digestName)).data : [];
  const own = await hash.digest();
  if (stored.length === own.length && own.every((byte, i) => byte === stored[i])) return;
  throw new PeftError('bad-data', `${file}: has been changed or damaged since it was written: its checksum is another`);
};

/** A state out of a file's metadata with what keeps it from being restored; a text is a fault of the file. */
export type ParseState<S> = (
  text: string | undefined,
) => { readonly state: S; readonly problems: readonly string[] } | string;

/**
 * Restores variables from a checkpoint, all of which is looked at before. Throws `state-mismatch` where it belongs to another run, `bad-data` where it is
 * not as it was written.
 */
export const restoreFrom = async <S>(
  file: string,
  variables: readonly Variable[],
  executor: Pick<Executor, 'write'>,
  parse: ParseState<S>,
): Promise<S> => {
  await using reader = await openSafetensors(file);
  const text = reader.metadata.get(metadataKey);
  const parsed = parse(text);
  if (typeof parsed === 'string') throw new PeftError('bad-data', `${file}: is no checkpoint that is sound: ${parsed}`);
  const problems = [...parsed.problems, ...misfits(reader, variables)];
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `${file}: is no checkpoint of this run: ${problems.join('; ')}. Give another file, or the options it was made with.`,
    );
  await checkTensors(file, reader, text!);
  for (const v of variables) await executor.write(v, (await reader.read(v.node.name)).data as TypedArray);
  return parsed.state;
};

/**
 * Restores variables from a checkpoint, and gives the state that was written with them; null when there is none. Throws `state-mismatch` when it
 * belongs to another run: tensors missing, left over or of another shape; `bad-data` where one is no finite number or the file is damaged.
 */
export const readCheckpoint = async <L>(
  file: string,
  variables: readonly Variable[],
  { executor }: { readonly executor: Pick<Executor, 'write'> },
): Promise<RunState<L> | null> => {
  if (!(await exists(file))) return null;
  return restoreFrom(file, variables, executor, (text) => {
    const state = parseState(text);
    return typeof state === 'string' ? state : { state: state as RunState<L>, problems: [] };
  });
};
