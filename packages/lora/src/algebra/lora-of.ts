import { type Adapted, attach, type State } from '@peftjs/core';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import type { Matrix } from 'ml-matrix';
import { lora } from '../lora.ts';
import { namesOf } from './scales-of.ts';
import type { Product } from './truncated-svd.ts';

/** A LoRA that was computed, and how far it is from what it stands for. */
export interface ComputedLora<M extends Model> {
  readonly adapted: Adapted<M>;
  /** ‖ΔW − wanted‖ / ‖wanted‖ of each layer (Frobenius), after rounding to f32; Infinity where nothing was wanted and something is there. */
  readonly errors: ReadonlyMap<Path, number>;
}

const most = (numbers: readonly number[]): number => {
  const counts = new Map<number, number>();
  for (const n of numbers) counts.set(n, (counts.get(n) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
};

const rounded = (m: Matrix): Float32Array => Float32Array.from(m.to1DArray());

/** A and B of each layer, rounded to f32, by their names. */
const stateOf = (base: Model, products: ReadonlyMap<Path, Product>): State =>
  new Map(
    [...products].flatMap(([path, { a, b }]) => {
      const [nameOfA, nameOfB] = namesOf(base, path);
      return [
        [nameOfA, { shape: [a.rows, a.columns], data: rounded(a) }],
        [nameOfB, { shape: [b.rows, b.columns], data: rounded(b) }],
      ];
    }),
  );

/** A LoRA with ΔW = B·A of each layer: alpha is the rank, so the scale is 1. Layers of a rank unlike most have an entry in the patterns. */
export const loraOf = <M extends Model>(base: M, products: ReadonlyMap<Path, Product>): Adapted<M> => {
  if (products.size === 0)
    throw new PeftError('bad-option', 'toLora: the adapter changes no layer, so there is no LoRA of it');
  const rank = most([...products.values()].map(({ b }) => b.columns));
  const odd = [...products].filter(([, { b }]) => b.columns !== rank);
  const pattern = Object.fromEntries(odd.map(([path, { b }]) => [`^${path.replaceAll('.', '\\.')}`, b.columns]));
  const target = [...products.keys()];
  return attach(base, [lora({ target, rank, alpha: rank, rankPattern: pattern, alphaPattern: pattern })], {
    state: stateOf(base, products),
  });
};
