import { Matrix } from 'ml-matrix';
import { type Product, truncatedSvd } from '../algebra/truncated-svd.ts';

/** How much the rows and columns of a weight matter: √ of the means of its Fisher information along the other axis. */
export interface Weighing {
  /** [outDim], above 0. */
  readonly rows: Float64Array;
  /** [inDim], above 0. */
  readonly columns: Float64Array;
}

/** Where nothing was seen, a share of the largest, so that a division by it is none by 0. */
const above = (means: Float64Array): Float64Array => {
  const least = 1e-6 * means.reduce((a, b) => Math.max(a, b), 0);
  return means.map((v) => (least > 0 ? Math.max(v, least) : 1));
};

/** Of the Fisher information of a weight's entries, [outDim, inDim]. */
export const weighingOf = (fisher: ArrayLike<number>, outDim: number, inDim: number): Weighing => {
  const [rows, columns] = [new Float64Array(outDim), new Float64Array(inDim)];
  for (let i = 0; i < outDim; i++)
    for (let j = 0; j < inDim; j++) {
      const value = fisher[i * inDim + j]!;
      rows[i]! += value / inDim;
      columns[j]! += value / outDim;
    }
  return { rows: above(rows.map(Math.sqrt)), columns: above(columns.map(Math.sqrt)) };
};

const inverse = (values: Float64Array): number[] => Array.from(values, (v) => 1 / v);

/** D₁·M·D₂: errors of it count alike. M itself without a weighing. */
export const weighed = (m: Matrix, weighing: Weighing | undefined): Matrix =>
  weighing ? new Matrix(m).mulColumnVector([...weighing.rows]).mulRowVector([...weighing.columns]) : m;

/** D₁⁻¹·B·A·D₂⁻¹. */
export const unweighed = ({ b, a }: Product, weighing: Weighing | undefined): Product =>
  weighing ? { b: b.mulColumnVector(inverse(weighing.rows)), a: a.mulRowVector(inverse(weighing.columns)) } : { b, a };

/**
 * The product of some rank that lies closest to a matrix where errors count by row and column: D₁⁻¹·SVD_r(D₁·M·D₂)·D₂⁻¹. Without a weighing the leading part of its singular value decomposition.
 * Guo, Greengard, Xing & Kim, 2023 (section 3.3). https://arxiv.org/abs/2311.12023
 */
export const closestProduct = (m: Matrix, rank: number, weighing?: Weighing): Product =>
  unweighed(truncatedSvd(weighed(m, weighing), { rank }), weighing);
