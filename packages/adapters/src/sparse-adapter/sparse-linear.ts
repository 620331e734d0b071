import { zeros } from '@peftjs/core';
import { checkPlaces } from '@peftjs/core/collect';
import { add, broadcastTo, reshape, sparseMatmul } from '@peftjs/tensor';
import type { Project } from '../bottleneck.ts';
import type { Kept } from './choose.ts';

/**
 * A projection y = S·x + b of which some entries alone are there and trained, `<name>.sparse_values` at the places `<name>.sparse_index`; one
 * without any is b. Throws `state-mismatch` for places of a file that the matrix does not have.
 */
export const sparseLinear =
  (who: string, keptOf: (name: string) => Kept | undefined): Project =>
  (scope, name, outDim, inDim) => {
    const bias = scope.param(`${name}.bias`, [outDim], zeros);
    const kept = keptOf(name);
    if (!kept) return (x) => broadcastTo(bias, [...x.shape.slice(0, -1), outDim]);
    const { places, values: first } = kept;
    const shape = [places.length];
    const values = scope.param(`${name}.sparse_values`, shape, first ? () => Float32Array.from(first) : zeros, {
      decay: true,
    });
    const index = scope.buffer(`${name}.sparse_index`, shape, () => Int32Array.from(places, (at, i) => at ?? i), 'i32');
    checkPlaces(who, index, places, outDim * inDim);
    return (x) => {
      const y = sparseMatmul(reshape(x, [-1, inDim]), values, index, { outDim, inDim });
      return add(reshape(y, [...x.shape.slice(0, -1), outDim]), bias);
    };
  };
