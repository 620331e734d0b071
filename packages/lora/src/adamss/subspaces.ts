import { type Compute, randomSource } from '@peftjs/tensor';
import type { Linear, Path } from '@peftjs/transformer';
import type { Matrix } from 'ml-matrix';
import { truncatedSvd } from '../algebra/truncated-svd.ts';
import { weightOnHost } from '../algebra/weight-on-host.ts';
import { kMeans } from './k-means.ts';

/** Sizes of the subspaces of a layer. */
export interface SubspaceSizes {
  /** Singular vectors R. */
  readonly directions: number;
  /** Subspaces K. */
  readonly subspaces: number;
  /** Rank r of each at most. */
  readonly rank: number;
  /** Squares of a subspace's singular values below this share of its largest count no more in its rank. */
  readonly threshold: number;
}

/** The first values of a layer, row by row. */
export interface Subspaces {
  /** V: right singular vectors of [W b], without the column of b, [R, in]. */
  readonly directions: Float32Array;
  /** The column of V that belongs to b, [R]; zeros for a layer without one. */
  readonly biasDirections: Float32Array;
  /** Which subspace an output is in, [out]. */
  readonly clusters: Int32Array;
  /** The leading right singular vectors of the rows of U that are in each subspace, and rows of zeros where its rank is less, [K·r, R]. */
  readonly a: Float32Array;
}

const lengths = (rows: Matrix): number[] => rows.to2DArray().map((row) => Math.hypot(...row));

/** [W b], or W where there is no b. */
const withBias = async (layer: Linear, compute: Compute): Promise<Matrix> => {
  const w = await weightOnHost(layer, compute);
  const { bias } = layer.dense();
  return bias ? w.addColumn(w.columns, Array.from(await compute(bias))) : w;
};

/** The right singular vectors of a part of U, the largest first, that count. */
const leading = (part: Matrix, rank: number, threshold: number): number[][] => {
  const { b, a } = truncatedSvd(part, { rank: Math.min(rank, part.rows) });
  const values = lengths(b.transpose());
  return a.to2DArray().filter((_, i) => i === 0 || values[i]! ** 2 > threshold * values[0]! ** 2);
};

/** Finds the subspaces of a layer: k-means over the rows of U, of [W b] ≈ U·S·V, on the host in f64. The seed draws the first means. */
export const subspacesOf = async (
  layer: Linear,
  path: Path,
  { directions, subspaces, rank, threshold }: SubspaceSizes,
  seed: number,
  compute: Compute,
): Promise<Subspaces> => {
  const { inDim } = layer;
  const { b, a: v } = truncatedSvd(await withBias(layer, compute), { rank: directions });
  const u = b.mulRowVector(lengths(b.transpose()).map((length) => (length === 0 ? 0 : 1 / length)));
  const clusters = kMeans(u.to2DArray(), subspaces, randomSource(seed, `${path}.adamss`));
  const a = new Float32Array(subspaces * rank * directions);
  for (let k = 0; k < subspaces; k++) {
    const members = clusters.flatMap((cluster, i) => (cluster === k ? [i] : []));
    const rows = leading(u.subMatrixRow(members), rank, threshold);
    a.set(rows.flat(), k * rank * directions);
  }
  return {
    directions: Float32Array.from(v.subMatrix(0, directions - 1, 0, inDim - 1).to1DArray()),
    biasDirections: v.columns > inDim ? Float32Array.from(v.getColumn(inDim)) : new Float32Array(directions),
    clusters: Int32Array.from(clusters),
    a,
  };
};
