import type { Compute, Tensor } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { EigenvalueDecomposition, inverse, Matrix, pseudoInverse, QrDecomposition, solve } from 'ml-matrix';
import { weightOnHost } from '../algebra/weight-on-host.ts';

const eigenvectors = (symmetric: Matrix): Matrix =>
  new EigenvalueDecomposition(symmetric, { assumeSymmetric: true }).eigenvectorMatrix;

/**
 * A basis V [in, in] for the rows of some weights of `in` columns. With as many rows as columns or more it is Rᵀ·E, W = Q·R the weights one below the other, Qᵢ the rows of Q that are those of
 * weight i, and E the eigenvectors of the mean of (QᵢᵀQᵢ + ridge·I)⁻¹; with fewer the right singular vectors of W, filled up to a basis.
 */
export const sharedBasis = async (
  layers: readonly Linear[],
  ridge: number,
  compute: Compute,
): Promise<Float32Array> => {
  const weights: Matrix[] = [];
  for (const layer of layers) weights.push(await weightOnHost(layer, compute));
  const stacked = new Matrix(weights.flatMap((w) => w.to2DArray()));
  const { columns } = stacked;
  const flat = (m: Matrix): Float32Array => Float32Array.from(m.to1DArray());
  if (stacked.rows < columns) return flat(eigenvectors(stacked.transpose().mmul(stacked)));
  const { orthogonalMatrix: q, upperTriangularMatrix: r } = new QrDecomposition(stacked);
  const total = Matrix.zeros(columns, columns);
  let row = 0;
  for (const { rows } of weights) {
    const own = q.subMatrix(row, row + rows - 1, 0, columns - 1);
    total.add(inverse(own.transpose().mmul(own).add(Matrix.eye(columns, columns).mul(ridge))));
    row += rows;
  }
  return flat(r.transpose().mmul(eigenvectors(total.div(weights.length))));
};

/** W = U·diag(λ)·Vᵀ over a basis V: the lengths λ [in], and U [out, in], whose columns have length 1, or 0 with λ. */
export interface OverBasis {
  readonly u: Float32Array;
  readonly lambda: Float32Array;
}

/** The weight of a layer over a basis [in, in], in f64. */
export const overBasis = async (layer: Linear, basis: Tensor, compute: Compute): Promise<OverBasis> => {
  const w = await weightOnHost(layer, compute);
  const v = Matrix.from1DArray(w.columns, w.columns, await compute(basis));
  const right = w.transpose();
  const solved = (): Matrix => {
    try {
      return solve(v, right);
    } catch {
      return pseudoInverse(v, 1e-6).mmul(right); // a basis that is none, as of layers that are zero
    }
  };
  const b = solved(); // [in, out]
  const lambda = b.to2DArray().map((row) => Math.hypot(...row));
  b.mulColumnVector(lambda.map((length) => (length > 1e-12 ? 1 / length : 0)));
  return { u: Float32Array.from(b.transpose().to1DArray()), lambda: Float32Array.from(lambda) };
};
