import { addSparse, type Scope, zeros } from '@peftjs/core';
import { checkPlaces } from '@peftjs/core/collect';
import type { Variable } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';

/** The names of a masked layer's tensors. */
export interface SparseNames {
  readonly values: string;
  readonly index: string;
}

/** A layer with some entries trained, and the values that are added to them. */
export interface SparseLayer {
  readonly layer: Linear;
  /** [entries] */
  readonly values: Variable;
}

/** y = (W + S)·x + b, S zero but at some places, where it is trained, from 0. Throws `state-mismatch` for places of a file that the layer does not have. */
export const sparseLayer = (
  who: string,
  base: Linear,
  own: Scope,
  places: ArrayLike<number>,
  names: SparseNames = { values: 'sparse_values', index: 'sparse_index' },
): SparseLayer => {
  const shape = [places.length];
  const values = own.param(names.values, shape, zeros);
  const index = own.buffer(names.index, shape, () => Int32Array.from(places, (at, i) => at ?? i), 'i32');
  checkPlaces(who, index, places, base.outDim * base.inDim);
  return { layer: addSparse(base, values, index), values };
};
