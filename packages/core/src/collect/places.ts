import { PeftError, type Variable } from '@peftjs/tensor';

/** Those that were read from a configuration are known by their number alone. */
const areKnown = (places: ArrayLike<number>): boolean => Array.isArray(places) || ArrayBuffer.isView(places);

/** Whether places of a matrix ascend; places of which only the number is known do. */
export const isAscending = (places: ArrayLike<number>): boolean =>
  !areKnown(places) ||
  Array.from(places).every((at, i) => Number.isSafeInteger(at) && at > (i === 0 ? -1 : places[i - 1]!));

/**
 * Looks at the places of a matrix's entries, row · inDim + column: those that a file holds, or those chosen; without either they are the first
 * ones. Throws `state-mismatch` unless they ascend below `size`, the entries of the matrix.
 */
export const checkPlaces = (who: string, index: Variable, chosen: ArrayLike<number>, size: number): void => {
  const { init, name } = index.node;
  const places = ArrayBuffer.isView(init) ? (init as Int32Array) : chosen;
  if (places.length > size || !isAscending(places) || (places[places.length - 1] ?? 0) >= size)
    throw new PeftError(
      'state-mismatch',
      `${who}: ${name} must hold ascending places below ${size}, the weights of the layer`,
    );
};
