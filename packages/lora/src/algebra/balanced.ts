import type { Compute } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { truncatedSvd } from './truncated-svd.ts';
import { weightOnHost } from './weight-on-host.ts';

/** Two factors of a matrix, row by row. */
export interface Halves {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

/** A = √S·Vᵀ [rank, in] and B = U·√S [out, rank] of the largest singular values of a layer's weight, in f64. */
export const balanced = async (layer: Linear, rank: number, compute: Compute): Promise<Halves> => {
  const { a, b } = truncatedSvd(await weightOnHost(layer, compute), { rank });
  const roots = Array.from({ length: rank }, (_, i) => Math.sqrt(Math.hypot(...b.getColumn(i))));
  a.mulColumnVector(roots);
  b.mulRowVector(roots.map((root) => (root === 0 ? 0 : 1 / root)));
  return { a: Float32Array.from(a.to1DArray()), b: Float32Array.from(b.to1DArray()) };
};
