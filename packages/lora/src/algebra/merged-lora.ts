import type { Adapted } from '@peftjs/core';
import { PeftError, randomSource } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { Matrix } from 'ml-matrix';
import { errorOf } from './error-of.ts';
import { type Factors, factorsOf } from './factors.ts';
import { type ComputedLora, loraOf } from './lora-of.ts';
import type { MergeAdaptersOptions } from './merge-adapters.ts';
import { sideBySide } from './side-by-side.ts';
import { combineTensors, type Rule } from './task-vectors.ts';
import { type Product, productSvd, truncatedSvd } from './truncated-svd.ts';

/** A factor pair of one adapter with its weight. */
interface Weighted extends Factors {
  readonly weight: number;
}

const shapedAs = ({ rows, columns }: Matrix, values: ArrayLike<number>): Matrix =>
  Matrix.from1DArray(rows, columns, values);

/** Σ wᵢ·scaleᵢ·Bᵢ·Aᵢ as one product: the factors side by side. */
const sumOf = (all: readonly Weighted[]): Product =>
  sideBySide(...all.map(({ b, a, scale, weight }) => ({ b, a: Matrix.mul(a, scale * weight) })));

const padded = ({ b, a }: Product, rank: number, path: Path): Product => {
  const missing = rank - b.columns;
  if (missing === 0) return { b, a };
  if (missing < 0)
    throw new PeftError(
      'bad-option',
      `mergeAdapters: rank ${rank} is below the sum of the ranks at ${path}, ${b.columns}, which cat keeps all; give at least that, or use svd`,
    );
  return sideBySide({ b, a }, { b: Matrix.zeros(b.rows, missing), a: Matrix.zeros(missing, a.columns) });
};

/** A rule applied to all A's and to all B's, each with √|wᵢ·scaleᵢ|, A with the sign. */
const factorwise = (
  all: readonly Weighted[],
  path: Path,
  rule: (tensors: readonly Float64Array[], weights: readonly number[], side: string) => Float64Array,
): Product => {
  const ranks = new Set(all.map(({ b }) => b.columns));
  if (ranks.size > 1)
    throw new PeftError(
      'bad-option',
      `mergeAdapters: the ranks at ${path} are ${[...ranks].join(' and ')}, and this way sums A's and B's of equal rank; use svd or cat`,
    );
  const roots = all.map(({ scale, weight }) => Math.sqrt(Math.abs(scale * weight)));
  const signed = all.map(({ scale, weight }, i) => roots[i]! * (scale * weight < 0 ? -1 : 1));
  const flat = (m: Matrix): Float64Array => Float64Array.from(m.to1DArray());
  return {
    a: shapedAs(
      all[0]!.a,
      rule(
        all.map(({ a }) => flat(a)),
        signed,
        'A',
      ),
    ),
    b: shapedAs(
      all[0]!.b,
      rule(
        all.map(({ b }) => flat(b)),
        roots,
        'B',
      ),
    ),
  };
};

/** `mergeAdapters`, once the call is sound. */
export const mergedLora = async <M extends Model>(
  adapters: readonly Adapted<M>[],
  { executor, weights, how = 'svd', rank, density = 1, majoritySign = 'total', seed = 0 }: MergeAdaptersOptions,
): Promise<ComputedLora<M>> => {
  const base = adapters[0]!.base;
  const byPath = new Map<Path, Weighted[]>();
  for (const [i, adapted] of adapters.entries())
    for (const [path, factors] of await factorsOf(`mergeAdapters: adapter ${i}`, adapted, executor))
      byPath.set(path, [...(byPath.get(path) ?? []), { ...factors, weight: weights[i]! }]);

  const rule = (how === 'svd' ? 'linear' : how.replace(/_svd$/, '')) as Rule;
  const combined = (path: Path, all: readonly Weighted[], exact: Product): Product => {
    const ruleOf = (tensors: readonly Float64Array[], own: readonly number[], side: string): Float64Array =>
      combineTensors(rule, tensors, own, {
        density,
        majoritySign,
        random: randomSource(seed, `${path} ${side}`),
      });
    if (how === 'cat') return padded(exact, rank ?? exact.b.columns, path);
    const kept = { rank: Math.min(rank ?? Math.max(...all.map(({ b }) => b.columns)), exact.b.rows, exact.a.columns) };
    if (how === 'svd') return productSvd(exact, kept);
    if (!how.endsWith('_svd')) return factorwise(all, path, ruleOf);
    const deltas = all.map(({ a, b, scale }) => Matrix.mul(b.mmul(a), scale));
    const flat = deltas.map((m) => Float64Array.from(m.to1DArray()));
    const own = all.map(({ weight }) => weight);
    return truncatedSvd(shapedAs(deltas[0]!, ruleOf(flat, own, 'ΔW')), kept);
  };

  const products = new Map<Path, Product>();
  const errors = new Map<Path, number>();
  for (const [path, all] of byPath) {
    const exact = sumOf(all);
    const product = combined(path, all, exact);
    products.set(path, product);
    errors.set(path, errorOf(product, exact));
  }
  return { adapted: loraOf(base, products), errors };
};
