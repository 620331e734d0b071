import { Matrix } from 'ml-matrix';
import { truncatedSvd } from '../algebra/truncated-svd.ts';

/** Eigenpairs of a covariance, the largest first. */
export interface Spectrum {
  readonly values: Float64Array;
  /** Unit eigenvectors as rows, [values, side]. */
  readonly vectors: Float32Array;
  readonly side: number;
}

/** A side up to which all eigenpairs are kept. */
const wholeUpTo = 256;

/** As many of a longer side, as the authors' library keeps. */
const usualKept = 10;

/** How many eigenpairs of a side are kept. */
export const keptOf = (side: number, kept: number | undefined): number =>
  Math.min(side, kept ?? (side <= wholeUpTo ? side : usualKept));

/** The eigenpairs of a sum of squares [side, side], divided by `divisor`, on the host in f64. */
export const spectrumOf = (sums: Float32Array, side: number, kept: number, divisor = 1): Spectrum => {
  if (sums.every((v) => v === 0))
    return { values: new Float64Array(kept), vectors: Float32Array.from(Matrix.eye(kept, side).to1DArray()), side };
  const { b, a } = truncatedSvd(Matrix.from1DArray(side, side, sums), { rank: kept });
  // Singular values of what is symmetric and has no negative eigenvalue are eigenvalues; b is U·diag of them.
  const values = Float64Array.from({ length: a.rows }, (_, i) => Math.hypot(...b.getColumn(i)) / divisor);
  return { values, vectors: Float32Array.from(a.to1DArray()), side };
};
