import type { Compute } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';
import { SingularValueDecomposition } from 'ml-matrix';
import type { Product } from './truncated-svd.ts';
import { weightOnHost } from './weight-on-host.ts';

/**
 * The part of a layer's weight that belongs to its `rank` smallest singular values: B = U·diag(σ), or as `directions` U alone, and A = Vᵀ. The weight is decomposed whole, in f64.
 */
export const minorOf = async (
  layer: Linear,
  rank: number,
  compute: Compute,
  of: 'part' | 'directions' = 'part',
): Promise<Product> => {
  const svd = new SingularValueDecomposition(await weightOnHost(layer, compute), { autoTranspose: true });
  const { diagonal, leftSingularVectors: u, rightSingularVectors: v } = svd;
  const [start, end] = [diagonal.length - rank, diagonal.length - 1];
  const b = u.subMatrix(0, layer.outDim - 1, start, end);
  return {
    b: of === 'part' ? b.mulRowVector(diagonal.slice(start)) : b,
    a: v.subMatrix(0, layer.inDim - 1, start, end).transpose(),
  };
};
