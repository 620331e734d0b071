import type { Adapted } from '@peftjs/core';
import { evaluate } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { errorOf } from './error-of.ts';
import { factorsOf } from './factors.ts';
import { loraOf } from './lora-of.ts';
import type { ReducedLora, ReduceIntruderOptions } from './reduce-intruder-dimension.ts';
import { sideBySide } from './side-by-side.ts';
import { type Product, productSvd, truncatedSvd } from './truncated-svd.ts';

/** Left singular vectors, as rows. */
const leftVectors = (w: Matrix): Matrix =>
  new SingularValueDecomposition(w, {
    autoTranspose: true,
    computeRightSingularVectors: false,
  }).leftSingularVectors.transpose();

/** The leading singular triplets of W + ΔW whose left vector is like none of W's, as U·diag(σ)·Vᵀ; null where there is none. */
const intrudersOf = (w: Matrix, delta: Matrix, topK: number, threshold: number): Product | null => {
  const { b, a } = truncatedSvd(Matrix.add(w, delta), { rank: topK }); // b: σᵢ·uᵢ
  const across = leftVectors(w).mmul(b); // σᵢ times the cosines
  const odd = Array.from({ length: b.columns }, (_, i) => i).filter((i) => {
    const most = Math.max(...across.getColumn(i).map(Math.abs));
    return most < threshold * Math.hypot(...b.getColumn(i));
  });
  if (odd.length === 0) return null;
  return { b: b.subMatrixColumn(odd), a: a.subMatrixRow(odd) };
};

const scaled = ({ b, a }: Product, scale: number): Product => ({ b, a: Matrix.mul(a, scale) });

/** `reduceIntruderDimension`, once the call is sound. */
export const reduced = async <M extends Model>(
  adapted: Adapted<M>,
  { executor, topK = 10, threshold = 0.5, lambda = 0.75 }: ReduceIntruderOptions,
): Promise<ReducedLora<M>> => {
  const { base } = adapted;
  const weightOf = async (path: Path): Promise<Matrix> => {
    const linear = base.linears.get(path);
    const weight = linear?.dense().weight ?? base.embeddings.get(path)!.weight;
    const values = (await evaluate({ weight }, { executor }))['weight'] as Float32Array;
    const m = Matrix.from1DArray(weight.shape[0]!, weight.shape[1]!, values);
    return linear ? m : m.transpose(); // an embedding's change is that of the table's transpose
  };
  const products = new Map<Path, Product>();
  const errors = new Map<Path, number>();
  const intruders = new Map<Path, number>();
  for (const [path, factors] of await factorsOf('reduceIntruderDimension: the adapter', adapted, executor)) {
    const own = scaled(factors, factors.scale);
    const found = intrudersOf(await weightOf(path), own.b.mmul(own.a), topK, threshold);
    const wanted = found === null ? own : sideBySide(own, scaled(found, lambda - 1));
    const product = found === null ? own : productSvd(wanted, { rank: own.b.columns });
    products.set(path, product);
    errors.set(path, errorOf(product, wanted));
    intruders.set(path, found?.b.columns ?? 0);
  }
  return { adapted: loraOf(base, products), errors, intruders };
};
