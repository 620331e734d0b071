import { eachLinear, type Patch, type Scope } from '@peftjs/core';
import type { Variable } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';
import { type Mask, maskedPaths } from './mask.ts';
import { type SparseNames, sparseLayer } from './sparse-layer.ts';

/** The names of the tensors, where they are others, and who is given the values that are trained. */
export interface EachMasked {
  readonly names?: SparseNames;
  take?(path: Path, values: Variable): void;
}

/** A patch of the layers of a mask, each with the entries that it names trained. Throws as `maskedPaths` and `sparseLayer`. */
export const eachMasked = (
  who: string,
  model: Model,
  scope: Scope,
  mask: Mask,
  { names, take }: EachMasked = {},
): Patch => {
  const chosen = maskedPaths(who, mask, model);
  const isChosen = (path: Path): boolean => chosen.has(path);
  return eachLinear(model, scope, isChosen, who, (base, own, path) => {
    const { layer, values } = sparseLayer(who, base, own, mask[path]!, names);
    take?.(path, values);
    return layer;
  });
};
