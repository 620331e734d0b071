import { normalValues, randomSource } from '@peftjs/tensor';
import { EigenvalueDecomposition, Matrix, QrDecomposition, SingularValueDecomposition } from 'ml-matrix';

/** A product B·A: B of shape [rows, rank], A of shape [rank, columns]. */
export interface Product {
  readonly b: Matrix;
  readonly a: Matrix;
}

/** How many singular values are kept: a number of them, or as few as hold a share of their squares' sum. */
export type Kept = { readonly rank: number } | { readonly share: number };

/** The shorter side at most so long: decomposed whole, in a second at most. */
const exactUpTo = 256;

/** The shorter side at most so long: decomposed by its products M·Mᵀ, in a few seconds, where few values are wanted. An iteration takes longer for a flat spectrum, as errors of rounding have it. */
const productsUpTo = 1024;

/** Columns of a block beyond the vectors asked for, which make the iteration converge where singular values lie close together. */
const extra = 8;

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

/** M·Mᵀ. */
const productsOf = (m: Matrix): Matrix => {
  const products = new Matrix(m.rows, m.rows);
  const rows = m.to2DArray();
  for (let i = 0; i < m.rows; i++)
    for (let j = 0; j <= i; j++) {
      const [a, b] = [rows[i]!, rows[j]!];
      let sum = 0;
      for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
      products.set(i, j, sum);
      products.set(j, i, sum);
    }
  return products;
};

/** U·diag(s) and Vᵀ of the largest singular values, by the eigenvectors of the products along the shorter side. Values below 1e-8 of the largest are lost in it, which few of them reach. */
const byProducts = (m: Matrix, rank: number): Product => {
  const isWide = m.rows <= m.columns;
  const wide = isWide ? m : m.transpose();
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(productsOf(wide), {
    assumeSymmetric: true,
  });
  const largest = realEigenvalues
    .map((_, i) => i)
    .sort((i, j) => realEigenvalues[j]! - realEigenvalues[i]!)
    .slice(0, rank);
  const u = eigenvectorMatrix.subMatrixColumn(largest);
  const inner = u.transpose().mmul(wide); // diag(s)·Vᵀ
  if (!isWide) return { b: inner.transpose(), a: u.transpose() };
  const values = inner.to2DArray().map((row) => Math.hypot(...row));
  return { b: u.mulRowVector(values), a: inner.mulColumnVector(values.map((v) => (v === 0 ? 0 : 1 / v))) };
};

/** A part of a matrix's columns: an orthonormal basis Q of it, [rows, n], and Qᵀ·M, [n, columns]. */
interface Range {
  readonly basis: Matrix;
  readonly inner: Matrix;
}

const below = (upper: Matrix, lower: Matrix): Matrix => new Matrix([...upper.to2DArray(), ...lower.to2DArray()]);
const beside = (left: Matrix, right: Matrix): Matrix => below(left.transpose(), right.transpose()).transpose();

/** The part of some columns that is orthogonal to those of a basis. */
const without = (basis: Matrix, m: Matrix): Matrix => Matrix.sub(m, basis.mmul(basis.transpose().mmul(m)));

/** The energies of the singular values of M in a range, the largest first. */
const energiesIn = ({ inner }: Range): number[] =>
  new EigenvalueDecomposition(inner.mmul(inner.transpose()), { assumeSymmetric: true }).realEigenvalues
    .map((v) => Math.max(0, v))
    .sort((a, b) => b - a);

/**
 * A range with nearly all of the leading part: blocks Q, M·MᵀQ, (M·Mᵀ)²Q, … of a random start, each orthonormal to those before, until what
 * the range holds of it grows no more; null where that would be nearly all of the matrix. Musco & Musco, 2015 (randomised block Krylov iteration). https://arxiv.org/abs/1504.05477
 */
const rangeOf = (m: Matrix, width: number, total: number, kept: Kept): Range | null => {
  const random = randomSource(0, 'truncated-svd');
  const back = m.transpose();
  let block = orthonormal(m.mmul(Matrix.from1DArray(m.columns, width, normalValues(m.columns * width, 1, random))));
  let across = back.mmul(block); // [columns, width]
  let range: Range = { basis: block, inner: across.transpose() };
  let held = 0;
  for (let round = 1; (round + 1) * width < Math.min(m.rows, m.columns); round++) {
    block = orthonormal(without(range.basis, m.mmul(across)));
    block = orthonormal(without(range.basis, block)); // once more: where M holds no more, the first are of rounding alone
    across = back.mmul(block);
    range = { basis: beside(range.basis, block), inner: below(range.inner, across.transpose()) };
    if (round % 2 === 1) continue; // a look costs as much as a round
    const energies = energiesIn(range);
    const now = energies.slice(0, countOf(energies.map(Math.sqrt), total, kept)).reduce((a, b) => a + b, 0);
    const isEnough = 'rank' in kept || now >= kept.share * total;
    if (isEnough && now - held <= 1e-10 * total) return range;
    held = now;
  }
  return null;
};

/**
 * The leading part of a matrix's singular value decomposition, M ≈ (U·diag(s))·Vᵀ: no product of that rank lies closer to it. Matrices with
 * a side of at most 256 are decomposed whole, those with one of at most 1,024, where few values are wanted, by M·Mᵀ; of larger ones the part that a randomised block Krylov iteration finds, to 1e-10 of ‖M‖².
 */
export const truncatedSvd = (m: Matrix, kept: Kept): Product => {
  const total = m.norm('frobenius') ** 2;
  const least = Math.min(m.rows, m.columns);
  if (least > exactUpTo && least <= productsUpTo && 'rank' in kept && 4 * kept.rank <= least)
    return byProducts(m, kept.rank);
  const width = 'rank' in kept ? kept.rank + extra : 32;
  const range = least > exactUpTo ? rangeOf(m, width, total, kept) : null;
  if (!range) return leading(m, total, kept);
  const { b, a } = productSvd({ b: Matrix.eye(range.basis.columns, range.basis.columns), a: range.inner }, kept, total);
  return { b: range.basis.mmul(b), a };
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
