import type { Compute } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import type { Matrix } from 'ml-matrix';
import { type Product, truncatedSvd } from './truncated-svd.ts';
import { weightOnHost } from './weight-on-host.ts';

/** Two factors of a matrix, row by row. */
export interface Halves {
  readonly a: Float32Array;
  readonly b: Float32Array;
}

const flat = (m: Matrix): Float32Array => Float32Array.from(m.to1DArray());

const leading = async (layer: Linear, rank: number, compute: Compute): Promise<Product> =>
  truncatedSvd(await weightOnHost(layer, compute), { rank });

/** A = Vᵀ [rank, in] and B = U·S [out, rank] of the largest singular values of a layer's weight, in f64. */
export const principal = async (layer: Linear, rank: number, compute: Compute): Promise<Halves> => {
  const { a, b } = await leading(layer, rank, compute);
  return { a: flat(a), b: flat(b) };
};

/** A = √S·Vᵀ [rank, in] and B = U·√S [out, rank] of the same. */
export const balanced = async (layer: Linear, rank: number, compute: Compute): Promise<Halves> => {
  const { a, b } = await leading(layer, rank, compute);
  const roots = Array.from({ length: rank }, (_, i) => Math.sqrt(Math.hypot(...b.getColumn(i))));
  a.mulColumnVector(roots);
  b.mulRowVector(roots.map((root) => (root === 0 ? 0 : 1 / root)));
  return { a: flat(a), b: flat(b) };
};
