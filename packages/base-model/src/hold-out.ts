import type { Document, DocumentSplit } from './document.ts';

/**
 * Keeps every n-th document apart, whole: those at positions `every - 1`, `2 · every - 1`, ... of the list.
 * Order is kept, and there is no randomness, so the same list always splits the same way.
 *
 * @param every at least 2
 * @throws RangeError when `every` is not an integer of at least 2
 */
export function holdOut(documents: readonly Document[], every: number): DocumentSplit {
  if (!Number.isInteger(every) || every < 2) {
    throw new RangeError(`holdOut: got every = ${every}, expected an integer of at least 2.`);
  }
  return {
    train: documents.filter((_, index) => index % every !== every - 1),
    heldOut: documents.filter((_, index) => index % every === every - 1),
  };
}
