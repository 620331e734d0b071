import type { TypedArray } from '@peftjs/tensor';
import { Matrix } from 'ml-matrix';
import { truncatedSvd } from '../algebra/truncated-svd.ts';

/**
 * The singular vectors of the largest singular values of a matrix, of its shorter side: [rank, short] row by row. Each has the sign by which its entry of the
 * largest magnitude is positive, so that they do not depend on how they were found. Null for a matrix of zeros.
 */
export const leadingVectors = (
  values: TypedArray,
  [rows, columns]: readonly [number, number],
  rank: number,
): Float32Array | null => {
  if (values.every((v) => v === 0)) return null;
  const m = Matrix.from1DArray(rows, columns, values as ArrayLike<number> as number[]);
  const { a } = truncatedSvd(rows >= columns ? m : m.transpose(), { rank });
  return Float32Array.from(
    a.to2DArray().flatMap((vector) => {
      const largest = vector.reduce((most, v) => (Math.abs(v) > Math.abs(most) ? v : most), 0);
      return largest < 0 ? vector.map((v) => -v) : vector;
    }),
  );
};
