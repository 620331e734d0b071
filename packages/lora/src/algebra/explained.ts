import { Matrix } from 'ml-matrix';
import { truncatedSvd } from './truncated-svd.ts';

/** The principal directions of some inputs. */
export interface Explained {
  /** [components, in], unit rows. */
  readonly directions: Matrix;
  /** The share of the inputs' variance along each, largest first. */
  readonly shares: readonly number[];
  /** Singular values of the centred inputs along each. */
  readonly values: readonly number[];
}

/** The principal components of inputs, by Σ xxᵀ, Σ x and their number. */
export const explainedBy = (
  {
    products,
    values,
    count,
  }: { readonly products: Float32Array; readonly values: Float32Array; readonly count: number },
  components: number,
): Explained => {
  const n = values.length;
  const sums = Matrix.columnVector(values);
  const scatter = Matrix.from1DArray(n, n, products).sub(sums.mmul(sums.transpose()).div(count));
  const { b, a } = truncatedSvd(scatter, { rank: components });
  const along = b
    .transpose()
    .to2DArray()
    .map((column) => Math.hypot(...column));
  const total = scatter.trace();
  return { directions: a, shares: along.map((v) => v / total), values: along.map(Math.sqrt) };
};

/** Ranks of layers whose sum is `budget`: the largest shares of all layers together each get one. */
export const sharedRanks = <K>(shares: ReadonlyMap<K, readonly number[]>, budget: number): ReadonlyMap<K, number> => {
  const ranks = new Map([...shares.keys()].map((key) => [key, 0]));
  const all = [...shares].flatMap(([key, own]) => own.map((share) => ({ key, share })));
  for (const { key } of all.toSorted((x, y) => y.share - x.share).slice(0, budget)) ranks.set(key, ranks.get(key)! + 1);
  return ranks;
};
