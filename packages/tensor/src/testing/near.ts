import { type Shape, sizeOf } from '../shape.ts';

/** How two tensors are compared. */
export interface NearOptions {
  /** Largest |got − wanted| / max(1, |wanted|) that counts as near; 0 for equal to the bit. */
  readonly tolerance: number;
  /** Their shape, so that places are told by axis. Default: one axis. */
  readonly shape?: Shape;
  /** As how many of the differing values are listed. Default 5. */
  readonly listed?: number;
}

interface Miss {
  readonly entry: number;
  readonly apart: number;
}

/** [row, column, …] of an entry. */
const placeOf = (entry: number, shape: Shape): string => {
  let rest = entry;
  const place = shape.toReversed().map((size) => {
    const at = rest % size;
    rest = (rest - at) / size;
    return at;
  });
  return `[${place.toReversed().join(', ')}]`;
};

const apartBy = (got: number, wanted: number): number => {
  if (got === wanted) return 0;
  const apart = Math.abs(got - wanted) / Math.max(1, Math.abs(wanted));
  return Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
};

/**
 * Where and by how much two tensors differ: the number of values that are not near, and the worst of them by place; null when all are
 * near. A value that is not a number is near nothing.
 */
export const differenceOf = (
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  { tolerance, shape = [wanted.length], listed = 5 }: NearOptions,
): string | null => {
  if (got.length !== wanted.length || sizeOf(shape) !== wanted.length)
    return `${got.length} values, wanted ${wanted.length} of shape [${shape.join(', ')}]`;
  const misses: Miss[] = [];
  for (let entry = 0; entry < wanted.length; entry++) {
    const apart = apartBy(got[entry]!, wanted[entry]!);
    if (apart > tolerance) misses.push({ entry, apart });
  }
  if (misses.length === 0) return null;
  const worst = misses.toSorted((a, b) => b.apart - a.apart || a.entry - b.entry).slice(0, listed);
  const limit = tolerance === 0 ? 'differ' : `differ by more than ${tolerance}`;
  return [
    `${misses.length} of ${wanted.length} values in [${shape.join(', ')}] ${limit}${misses.length > listed ? ', the worst' : ''}:`,
    ...worst.map(
      ({ entry, apart }) =>
        `  ${placeOf(entry, shape)} got ${got[entry]}, wanted ${wanted[entry]}, apart ${apart.toPrecision(3)}`,
    ),
  ].join('\n');
};

/** Throws what `differenceOf` says, under the name of what was compared. */
export const mustBeNear = (
  what: string,
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  options: NearOptions,
): void => {
  const difference = differenceOf(got, wanted, options);
  if (difference !== null) throw new Error(`${what}: ${difference}`);
};
