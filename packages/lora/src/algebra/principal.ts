import type { Compute } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { Matrix, QrDecomposition } from 'ml-matrix';
import { unweighed, type Weighing, weighed } from '../starts/weighing.ts';
import { type Product, truncatedSvd } from './truncated-svd.ts';
import { weightOnHost } from './weight-on-host.ts';

/** U·diag(√(σ/s)) and diag(√(σ/s))·Vᵀ of a product U·diag(σ)·Vᵀ whose first half is U·diag(σ). */
const balanced = ({ b, a }: Product, scale: number): Product => {
  const lengths = b
    .transpose()
    .to2DArray()
    .map((column) => Math.hypot(...column));
  const roots = lengths.map((length) => Math.sqrt(length / scale));
  const directions = lengths.map((length, i) => (length === 0 ? 0 : roots[i]! / length));
  return { b: b.mulRowVector(directions), a: a.mulColumnVector(roots) };
};

/** The part of a weight with the largest singular values, divided by the scale, as B·A of like halves. */
const bySingularValues = (w: Matrix, rank: number, scale: number): Product =>
  balanced(truncatedSvd(w, { rank }), scale);

/** The first columns of Q and the first rows of R of W = QR. */
const byColumns = (w: Matrix, rank: number): Product => {
  const b = new QrDecomposition(w.subMatrix(0, w.rows - 1, 0, rank - 1)).orthogonalMatrix; // the rest of W adds no columns to these
  return { b, a: b.transpose().mmul(w) };
};

type Way = 'pissa' | 'olora';

const ways: Readonly<Record<Way, (w: Matrix, rank: number, scale: number) => Product>> = {
  pissa: bySingularValues,
  olora: byColumns,
};

/** The part of a layer's weight that PiSSA or OLoRA begins with. */
export const principalOf = async (
  way: Way,
  layer: Linear,
  rank: number,
  scale: number,
  compute: Compute,
): Promise<Product> => {
  return ways[way](await weightOnHost(layer, compute), rank, scale);
};

/** The largest part of what a layer of the same sizes lacks of a weight, divided by the scale, as B·A of like halves. */
export const lostOf = async (
  whole: Linear,
  layer: Linear,
  { rank, scale, weighing }: { readonly rank: number; readonly scale: number; readonly weighing: Weighing | undefined },
  compute: Compute,
): Promise<Product> => {
  const lost = Matrix.sub(await weightOnHost(whole, compute), await weightOnHost(layer, compute));
  return unweighed(bySingularValues(weighed(lost, weighing), rank, scale), weighing);
};
