import type { PackedAttrs } from '@peftjs/tensor';

/** Called for each block of a matrix: its number, where its values lie, and where its codes begin. */
export type OnBlock = (block: number, from: number, to: number, code: number) => void;

/** Walks the blocks of a matrix row by row: the last block of a row may hold fewer values than codes. */
export const eachBlock = (rows: number, { inDim, block }: PackedAttrs, visit: OnBlock): void => {
  const blocks = Math.ceil(inDim / block);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < blocks; i++) {
      const from = row * inDim + i * block;
      visit(row * blocks + i, from, Math.min(from + block, (row + 1) * inDim), (row * blocks + i) * block);
    }
};

/** The largest magnitude among values [from, to). */
export const absMax = (values: Float32Array, from: number, to: number): number => {
  let most = 0;
  for (let i = from; i < to; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
};

/** The points halfway between neighbours of an ascending list. */
export const midpoints = (levels: readonly number[]): Float32Array =>
  Float32Array.from({ length: levels.length - 1 }, (_, i) => (levels[i]! + levels[i + 1]!) / 2);

/** The level nearest to a value: how many midpoints lie below it. */
export const nearest = (points: Float32Array, value: number): number => {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value > points[middle]!) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** Parts of the range of points that `nearestBy` has a table of. */
const parts = 1024;

/** `nearest` for many values: a table says between which points a value can lie, mostly none or one. */
export const nearestBy = (points: Float32Array): ((value: number) => number) => {
  const [first, last] = [points[0]!, points.at(-1)!];
  const perUnit = parts / (last - first);
  // From one part before to two behind, so that rounding of the place does not matter.
  const below = Uint16Array.from({ length: parts + 4 }, (_, i) => nearest(points, first + (i - 1) / perUnit));
  return (value) => {
    if (!(value > first)) return 0;
    if (value > last) return points.length;
    const part = Math.floor((value - first) * perUnit);
    let [low, high] = [below[part]!, below[part + 3]!];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value > points[middle]!) low = middle + 1;
      else high = middle;
    }
    return low;
  };
};
