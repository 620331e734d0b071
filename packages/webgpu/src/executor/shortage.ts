import { byteSize, type Plan, type Program, type Variable } from '@peftjs/tensor';
import { memoryError } from '@peftjs/tensor/executor';
import { whatDidNotFit } from '../device/faults.ts';
import { storageBytes } from './values.ts';

/** Throws `out-of-memory` for a program that would take more than there is, before any is taken. `fresh` have no storage yet. */
export const checkFits = (
  program: Program,
  { peakBytes, tensors }: Plan,
  fresh: readonly Variable[],
  { now, limit }: { readonly now: number; readonly limit: number },
): void => {
  const variables = tensors.reduce((n, t) => n + (t.kind === 'variable' ? t.bytes : 0), 0);
  const needed = peakBytes - variables + fresh.reduce((n, v) => n + storageBytes(byteSize(v)), 0);
  if (now + needed > limit)
    throw memoryError({ who: 'webgpu', program, needed, available: Math.max(0, limit - now), tensors });
};

/** Does what takes a program's memory; where the device has no more, the error tells the plan, and what it had none for. */
export const explained = async <T>(
  program: Program,
  { peakBytes: needed, tensors }: Plan,
  work: () => Promise<T>,
): Promise<T> => {
  try {
    return await work();
  } catch (cause) {
    // What a single buffer may hold is another matter, and has an error of its own.
    const refused = whatDidNotFit(cause);
    if (refused === undefined) throw cause;
    throw memoryError({ who: 'webgpu', program, needed, refused, tensors, cause });
  }
};
