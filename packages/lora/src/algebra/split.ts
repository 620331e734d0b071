import type { Compute } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { type Matrix, SingularValueDecomposition } from 'ml-matrix';
import { weightOnHost } from './weight-on-host.ts';

/** The singular vectors and values of a layer's weight, row by row: the largest, `kept`, and the rest. */
export interface Split {
  /** U [out, kept] and Vᵀ [kept, in]. */
  readonly high: { readonly u: Float32Array; readonly v: Float32Array };
  /** U [out, rest], the values [rest] and Vᵀ [rest, in]. */
  readonly low: { readonly u: Float32Array; readonly s: Float32Array; readonly v: Float32Array };
}

/** Parts a layer's weight, which is decomposed whole, in f64. */
export const splitOf = async (layer: Linear, kept: number, compute: Compute): Promise<Split> => {
  const svd = new SingularValueDecomposition(await weightOnHost(layer, compute), { autoTranspose: true });
  const { diagonal, leftSingularVectors: u, rightSingularVectors: v } = svd;
  const all = Math.min(layer.outDim, layer.inDim);
  const columns = (m: Matrix, start: number, end: number): Matrix => m.subMatrix(0, m.rows - 1, start, end - 1);
  const flat = (m: Matrix): Float32Array => Float32Array.from(m.to1DArray());
  const vectors = (start: number, end: number): Split['high'] => ({
    u: flat(columns(u, start, end)),
    v: flat(columns(v, start, end).transpose()),
  });
  return {
    high: vectors(0, kept),
    low: { ...vectors(kept, all), s: Float32Array.from(diagonal.slice(kept, all)) },
  };
};
