import type { Option } from '@peftjs/core';
import { isAscending } from '@peftjs/core/collect';
import { PeftError } from '@peftjs/tensor';
import type { Model, Path } from '@peftjs/transformer';

/** Ascending places of a matrix's trained entries, row · inDim + column each, by the layer's path. */
export type Mask = Readonly<Record<Path, ArrayLike<number>>>;

/** A file's configuration holds how many places there are, its tensors which. */
export const masks: Option<Mask> = {
  key: 'entries',
  fallback: () => ({}),
  expected: 'ascending places by path',
  accepts: (v) =>
    typeof v === 'object' && v !== null && Object.values(v).every((p) => p?.length >= 1 && isAscending(p)),
  toJson: (mask) => Object.fromEntries(Object.entries(mask).map(([path, { length }]) => [path, length])),
  fromJson: (counts) => {
    const entries = Object.entries(counts as object);
    if (!entries.every(([, length]) => Number.isSafeInteger(length) && length >= 1))
      throw new TypeError('must be numbers of entries by path');
    return Object.fromEntries(entries.map(([path, length]) => [path, { length }]));
  },
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
