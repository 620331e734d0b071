import type { Adapted } from '@peftjs/core';
import { type Executor, PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { Matrix } from 'ml-matrix';
import { type LoraOptions, rankAndScaleOf } from '../low-rank.ts';
import { namesOf } from './lora-of.ts';
import type { Product } from './truncated-svd.ts';

/** ΔW = scale·B·A of a layer; of an embedding it is the table's transpose. */
export interface Factors extends Product {
  readonly scale: number;
}

/** A LoRA that changes layers and nothing else: its layers, with the scale of each. Throws `bad-option` for any other adapter. */
const scalesOf = (who: string, { base, method, state }: Adapted<Model>): ReadonlyMap<Path, number> => {
  const settled = method.settled?.(base);
  if (settled?.record.name !== 'lora')
    throw new PeftError(
      'bad-option',
      `${who} is ${method.name}${method.name === 'lora' ? ' that trains more than layers (biases, tokens, whole modules)' : ''}; give a LoRA of layers alone, which toLora makes of any method that merges`,
    );
  const scales = new Map(
    settled.paths.map((path) => [
      path,
      rankAndScaleOf(path, settled.options as unknown as Required<LoraOptions>).scale,
    ]),
  );
  const known = new Set([...scales.keys()].flatMap((path) => namesOf(base, path)));
  const more = [...state.keys()].filter((name) => !known.has(name));
  if (more.length > 0)
    throw new PeftError(
      'bad-option',
      `${who} also holds ${more.slice(0, 3).join(', ')}${more.length > 3 ? ', …' : ''}, a trained head, which has no sum with others; give adapters of a model without one`,
    );
  return scales;
};

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
