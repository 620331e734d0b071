import { normalValues, randomSource } from '@peftjs/tensor';
import { Matrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';

/** A product B·A: B of shape [rows, rank], A of shape [rank, columns]. */
export interface Product {
  readonly b: Matrix;
  readonly a: Matrix;
}

/** How many singular values are kept: a number of them, or as few as hold a share of their squares' sum. */
export type Kept = { readonly rank: number } | { readonly share: number };

/** Both sides at most so long: decomposed whole, in a second at most. */
const exactUpTo = 256;

/** Vectors beyond those asked for, which make the iteration converge where singular values lie close together. */
const extra = 8;

const energyOf = (values: readonly number[]): number => values.reduce((sum, v) => sum + v * v, 0);

const orthonormal = (m: Matrix): Matrix => new QrDecomposition(m).orthogonalMatrix;

const countOf = (values: readonly number[], total: number, kept: Kept): number => {
  if ('rank' in kept) return Math.min(kept.rank, values.length);
  let sum = 0;
  const enough = values.findIndex((v) => (sum += v * v) >= kept.share * total);
  return enough < 0 ? values.length : enough + 1;
};

/** U·diag(s) and Vᵀ of the singular values that are kept. */
const leading = (m: Matrix, total: number, kept: Kept): Product => {
  const svd = new SingularValueDecomposition(m, { autoTranspose: true });
  const rank = Math.max(1, countOf(svd.diagonal, total, kept));
  const columns = rank - 1;
  const u = svd.leftSingularVectors.subMatrix(0, m.rows - 1, 0, columns);
  const v = svd.rightSingularVectors.subMatrix(0, m.columns - 1, 0, columns);
  return { b: u.mulRowVector(svd.diagonal.slice(0, rank)), a: v.transpose() };
};

/**
 * An orthonormal basis of the columns that hold nearly all that `width` columns can hold of M: a random start, multiplied by M·Mᵀ until the
 * share that it holds grows no more. Halko et al., 2011, algorithm 4.4. https://arxiv.org/abs/0909.4061
 */
const rangeOf = (m: Matrix, width: number, total: number): Matrix => {
  const random = randomSource(0, 'truncated-svd');
  const back = m.transpose();
  let basis = orthonormal(m.mmul(Matrix.from1DArray(m.columns, width, normalValues(m.columns * width, 1, random))));
  let held = 0;
  for (let round = 0; round < 100; round++) {
    const across = back.mmul(basis); // [columns, width]
    const now = energyOf(across.to1DArray());
    if (now - held <= 1e-10 * total) break;
    held = now;
    basis = orthonormal(m.mmul(orthonormal(across)));
  }
  return basis;
};

/**
 * The leading part of a matrix's singular value decomposition, M ≈ (U·diag(s))·Vᵀ: no product of that rank lies closer to it. Matrices with
 * a side of at most 256 are decomposed whole; of larger ones the part that a randomised iteration finds, to 1e-10 of ‖M‖².
 */
export const truncatedSvd = (m: Matrix, kept: Kept): Product => {
  const total = m.norm('frobenius') ** 2;
  const least = Math.min(m.rows, m.columns);
  const direct = 'rank' in kept ? kept.rank + extra : 16;
  for (let width = direct; least > exactUpTo && width < least; width *= 2) {
    const basis = rangeOf(m, width, total);
    const inner = basis.transpose().mmul(m); // [width, columns]
    if ('share' in kept && inner.norm('frobenius') ** 2 < kept.share * total) continue;
    const { b, a } = productSvd({ b: Matrix.eye(width, width), a: inner }, kept, total);
    return { b: basis.mmul(b), a };
  }
  return leading(m, total, kept);
};

/** The same of a product B·A, which is never formed where its rank is below both of its sides. `total`: ‖B·A‖², if that is less than is to be held. */
export const productSvd = ({ b, a }: Product, kept: Kept, total?: number): Product => {
  if (b.columns >= Math.min(b.rows + 1, a.columns)) return truncatedSvd(b.mmul(a), kept);
  const [left, right] = [new QrDecomposition(b), new QrDecomposition(a.transpose())];
  const core = left.upperTriangularMatrix.mmul(right.upperTriangularMatrix.transpose()); // [rank, rank]
  const inner = leading(core, total ?? core.norm('frobenius') ** 2, kept);
  return {
    b: left.orthogonalMatrix.mmul(inner.b),
    a: inner.a.mmul(right.orthogonalMatrix.transpose()),
  };
};

/** The leading part of a matrix's values, row by row, and how much was left out: ‖M − B·A‖ / ‖M‖. */
export const keptOf = (
  rows: number,
  columns: number,
  values: ArrayLike<number>,
  kept: Kept,
): { readonly product: Product; readonly error: number } => {
  const m = Matrix.from1DArray(rows, columns, values);
  const product = truncatedSvd(m, kept);
  const rest = Matrix.sub(m, product.b.mmul(product.a)).norm('frobenius');
  return { product, error: rest === 0 ? 0 : rest / m.norm('frobenius') };
};
