/** Windows that begin where a multiple of this many positions does begin where WebGPU lets a binding begin, whatever the element. */
const step = 256;

/** Positions that a dispatch handles by itself. */
export interface PositionPart {
  readonly first: number;
  readonly count: number;
}

/** Parts of `size` items, `most` at a time. */
export const partsOf = (size: number, most: number): PositionPart[] =>
  Array.from({ length: Math.ceil(size / most) }, (_, i) => ({
    first: i * most,
    count: Math.min(most, size - i * most),
  }));

/**
 * Parts of `size` positions of which none takes more than `maxBytes` of a buffer with `bytes` per position; one part where all of it may be
 * bound. A part begins at a multiple of `unit` positions, so many as belong together.
 */
export const positionParts = (
  size: number,
  {
    bytes,
    maxBytes = Number.POSITIVE_INFINITY,
    unit = 1,
  }: { readonly bytes: number; readonly maxBytes?: number | undefined; readonly unit?: number },
): readonly PositionPart[] => {
  if (bytes * size <= maxBytes) return [{ first: 0, count: size }];
  // A power of two that both have.
  const shared = Math.min(step, unit & -unit);
  const whole = (unit * step) / shared;
  const most = Math.max(1, Math.floor(maxBytes / (bytes * whole))) * whole;
  return partsOf(size, most);
};

/** The bytes of a part in a buffer with `bytes` per position, in whole words. */
export const windowBytes = (
  { first, count }: PositionPart,
  bytes: number,
): { readonly offset: number; readonly bytes: number } => ({
  offset: first * bytes,
  bytes: Math.ceil((count * bytes) / 4) * 4,
});

/** The window of a part in a buffer with `bytes` per position, in whole words; undefined where the part is all there is. */
export const windowOf = (
  part: PositionPart,
  size: number,
  bytes: number,
): { readonly window?: ReturnType<typeof windowBytes> } =>
  part.count === size ? {} : { window: windowBytes(part, bytes) };
