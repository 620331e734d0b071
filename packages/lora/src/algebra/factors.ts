import type { Adapted } from '@peftjs/core';
import type { Executor } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { Matrix } from 'ml-matrix';
import { namesOf, scalesOf } from './scales-of.ts';
import type { Product } from './truncated-svd.ts';

/** ΔW = scale·B·A of a layer; of an embedding it is the table's transpose. */
export interface Factors extends Product {
  readonly scale: number;
}

/** The factors of every layer, read from an executor. */
export const factorsOf = async (
  who: string,
  adapted: Adapted<Model>,
  executor: Executor,
): Promise<ReadonlyMap<Path, Factors>> => {
  const { base, state } = adapted;
  const read = async (name: string): Promise<Matrix> => {
    const v = state.get(name)!;
    return Matrix.from1DArray(v.shape[0]!, v.shape[1]!, (await executor.read(v)) as Float32Array);
  };
  const factors = new Map<Path, Factors>();
  for (const [path, scale] of scalesOf(who, adapted)) {
    const [a, b] = namesOf(base, path);
    factors.set(path, { a: await read(a), b: await read(b), scale });
  }
  return factors;
};
