import type { Option } from '@peftjs/core';
import { PeftError, type Variable } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';

/** Ascending places of a matrix's trained entries, row · inDim + column each, by the layer's path. */
export type Mask = Readonly<Record<Path, ArrayLike<number>>>;

/** A mask that was read from a configuration knows how many places it has, but not which: their number alone is looked at. */
const areKnown = (places: ArrayLike<number>): boolean => Array.isArray(places) || ArrayBuffer.isView(places);

const isSound = (places: ArrayLike<number>): boolean =>
  !areKnown(places) ||
  Array.from(places).every((at, i) => Number.isSafeInteger(at) && at > (i === 0 ? -1 : places[i - 1]!));

/** A file's configuration holds how many places there are, its tensors which. */
export const masks: Option<Mask> = {
  key: 'entries',
  fallback: () => ({}),
  expected: 'ascending places by path',
  accepts: (v) => typeof v === 'object' && v !== null && Object.values(v).every((p) => p?.length >= 1 && isSound(p)),
  toJson: (mask) => Object.fromEntries(Object.entries(mask).map(([path, { length }]) => [path, length])),
  fromJson: (counts) => {
    const entries = Object.entries(counts as object);
    if (!entries.every(([, length]) => Number.isSafeInteger(length) && length >= 1))
      throw new TypeError('must be numbers of entries by path');
    return Object.fromEntries(entries.map(([path, length]) => [path, { length }]));
  },
};

/** The places that a file holds, or those chosen; without either the first ones. Throws `state-mismatch`. */
export const checkPlaces = (who: string, index: Variable, chosen: ArrayLike<number>, size: number): void => {
  const { init, name } = index.node;
  const places = ArrayBuffer.isView(init) ? (init as Int32Array) : chosen;
  if (places.length > size || !isSound(places) || (places[places.length - 1] ?? 0) >= size)
    throw new PeftError(
      'state-mismatch',
      `${who}: ${name} must hold ascending places below ${size}, the weights of the layer`,
    );
};

/** The layers of a mask. Throws `bad-option` for an empty one, `no-match`. */
export const maskedPaths = (who: string, mask: Mask, { linears }: Model): ReadonlySet<Path> => {
  const paths = Object.keys(mask);
  if (paths.length === 0)
    throw new PeftError('bad-option', `${who}: no weights are chosen yet; call prepare with examples first`);
  const odd = paths.filter((path) => !linears.has(path));
  if (odd.length > 0) throw new PeftError('no-match', `${who}: the model has no linear layer ${odd.join(', ')}`);
  return new Set(paths);
};
