import type { Cursor } from '@peftjs/data';
import { fileAt, openSafetensors, writeSafetensors } from '@peftjs/io';
import { type Executor, PeftError, type TypedArray, type Variable } from '@peftjs/tensor';
import { allFinite, listed } from './finite.ts';

/** Where a run's state is kept, and how often it is written. */
export interface CheckpointOptions {
  /** A safetensors file: weights, optimiser state, and the steps so far. If it is there, the run goes on from it. */
  readonly file: string;
  /** Steps between two writes. */
  readonly every: number;
  /**
   * Steps between copies of the same state in the host's memory: a device that is lost can't be read any more, and then the newest copy is
   * written. Default: on WebGPU as often as losses are read, where the state takes at most 64 MiB, as an adapter's does; else none, so that what is
   * left is the file as it was written last.
   */
  readonly copyEvery?: number;
}

/** The content of a checkpoint beside tensors; all of it goes through JSON. */
export interface RunState<L> {
  /** Steps done. */
  readonly step: number;
  /** Where the data stood after them; null where the number of steps says it. */
  readonly data: Cursor | null;
  /** Whatever else the run wants back. */
  readonly log: L;
}

const metadataKey = 'peftjs.run';

const exists = async (file: string): Promise<boolean> => {
  const { files, path } = await fileAt(file);
  return (await files.size(path)) !== null;
};

const fileTypes = { f32: 'F32', f16: 'F16', i32: 'I32', u32: 'U32', u8: 'U8' } as const;

/**
 * Writes variables, each under its name, and the state of a run; the file holds the last whole checkpoint at every moment. `train` does so by itself; a
 * loop of your own keeps `params`, `state` and `running` of what it trains and the `state` of its step. Throws `write-failed`, and `diverged`
 * where a value is no finite number: the file then stays as it was.
 */
export const writeCheckpoint = async <L>(
  file: string,
  variables: readonly Variable[],
  state: RunState<L>,
  { executor }: { readonly executor: Pick<Executor, 'read'> },
): Promise<void> => {
  const sound = async (v: Variable): Promise<TypedArray> => {
    const data = await executor.read(v);
    if (allFinite(data)) return data;
    throw new PeftError(
      'diverged',
      `train: after step ${state.step} ${v.node.name} holds what is no finite number, so it is not written to ${file}, which stays as it was; ` +
        'lower the learning rate or lengthen the warm-up',
    );
  };
  const tensors = new Map(
    variables.map((v) => [v.node.name, { dtype: fileTypes[v.dtype], shape: v.shape, data: () => sound(v) }]),
  );
  await writeSafetensors(file, tensors, { [metadataKey]: JSON.stringify(state) });
};

/**
 * Restores variables from a checkpoint, and gives the state that was written with them; null when there is none. Throws `state-mismatch` when it
 * belongs to another run: tensors missing, left over or of another shape; `bad-data` where one is no finite number.
 */
export const readCheckpoint = async <L>(
  file: string,
  variables: readonly Variable[],
  { executor }: { readonly executor: Pick<Executor, 'write'> },
): Promise<RunState<L> | null> => {
  if (!(await exists(file))) return null;
  await using reader = await openSafetensors(file);
  const names = new Set(variables.map((v) => v.node.name));
  const problems = variables.flatMap((v) => {
    const found = reader.tensors.get(v.node.name);
    if (!found) return [`${v.node.name} is missing`];
    const [got, wanted] = [`${found.dtype.toLowerCase()} [${found.shape}]`, `${v.dtype} [${v.shape}]`];
    return got === wanted ? [] : [`${v.node.name} is ${got}, the run takes ${wanted}`];
  });
  for (const name of reader.tensors.keys())
    if (!names.has(name)) problems.push(`${name} belongs to nothing in the run`);
  const text = reader.metadata.get(metadataKey);
  if (text === undefined) problems.push('it says nothing of a run');
  if (problems.length > 0)
    throw new PeftError(
      'state-mismatch',
      `${file}: is no checkpoint of this run: ${problems.join('; ')}. Give another file, or the options it was made with.`,
    );
  const odd: string[] = [];
  for (const v of variables) {
    const data = (await reader.read(v.node.name)).data as TypedArray;
    if (!allFinite(data)) odd.push(v.node.name);
    else if (odd.length === 0) await executor.write(v, data);
  }
  if (odd.length > 0)
    throw new PeftError(
      'bad-data',
      `${file}: ${listed(odd)} ${odd.length === 1 ? 'holds' : 'hold'} what is no finite number; go on from another file`,
    );
  return JSON.parse(text!) as RunState<L>;
};
