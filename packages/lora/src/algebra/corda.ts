import { inverse, Matrix, SingularValueDecomposition } from 'ml-matrix';
import type { Product } from './truncated-svd.ts';

/** C + damp·mean(diag C)·I and its inverse, with the least damp, 0.01 times a power of two, at which ‖C·C⁻¹ − I‖ is below 0.05. */
const damped = (c: Matrix): { readonly c: Matrix; readonly inverse: Matrix } => {
  const n = c.rows;
  const mean = c.trace() / n;
  for (let damp = 0.01; ; damp *= 2) {
    const own = Matrix.add(c, Matrix.eye(n, n).mul(mean * damp));
    const inverted = inverse(own);
    if (Matrix.sub(own.mmul(inverted), Matrix.eye(n, n)).norm('frobenius') < 0.05) return { c: own, inverse: inverted };
  }
};

/**
 * The part of a weight that belongs to `rank` singular values of W·C, C the covariance of its inputs: U·√(σ/s) and √(σ/s)·Vᵀ·C⁻¹. `ipm` takes the largest, `kpm` the
 * smallest.
 */
export const cordaOf = (w: Matrix, covariance: Matrix, rank: number, scale: number, mode: 'ipm' | 'kpm'): Product => {
  const { c, inverse: back } = damped(covariance);
  const svd = new SingularValueDecomposition(w.mmul(c), { autoTranspose: true });
  const { diagonal, leftSingularVectors: u, rightSingularVectors: v } = svd;
  const start = mode === 'ipm' ? 0 : diagonal.length - rank;
  const roots = diagonal.slice(start, start + rank).map((value) => Math.sqrt(value / scale));
  const columns = (m: Matrix): Matrix => m.subMatrix(0, m.rows - 1, start, start + rank - 1);
  return { b: columns(u).mulRowVector(roots), a: columns(v).transpose().mmul(back).mulColumnVector(roots) };
};
