import { type Executor, evaluate, isFinite, PeftError, type TypedArray, type Variable } from '@peftjs/tensor';
import { globalNorm } from './optimizers/global-norm.ts';

/** Whether all values are finite numbers; those of f16 come as bits. */
export const allFinite = (data: TypedArray): boolean => {
  if (data instanceof Float32Array) {
    for (const x of data) if (!Number.isFinite(x)) return false;
  } else if (data instanceof Uint16Array) for (const bits of data) if ((bits & 0x7c00) === 0x7c00) return false;
  return true;
};

/** Names in a message: the first few, and how many more. */
export const listed = (names: readonly string[]): string =>
  names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');

/** Names of the variables that hold what is no finite number; all are read, one after the other. */
export const notFinite = async (variables: Iterable<Variable>, executor: Executor): Promise<string[]> => {
  const found: string[] = [];
  // A program's list holds other objects for the same variables.
  const unique = new Map([...variables].map((v) => [v.node, v]));
  for (const v of unique.values()) if (!allFinite(await executor.read(v))) found.push(v.node.name);
  return found;
};

/** Throws `diverged`, with names, where parameters are not finite after a step: its loss was, but not what the step made of them. */
export const checkFinite = async (params: readonly Variable[], executor: Executor, step: number): Promise<void> => {
  const { sound } = await evaluate({ sound: isFinite(globalNorm(params)) }, { executor });
  if (sound![0] === 1) return;
  const names = await notFinite(params, executor);
  throw new PeftError(
    'diverged',
    `train: after step ${step} ${names.length > 0 ? `these hold what is no finite number: ${listed(names)}` : 'the parameters are larger than 1e18'}; ` +
      'lower the learning rate or lengthen the warm-up.',
  );
};
