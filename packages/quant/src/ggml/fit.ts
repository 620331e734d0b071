import { midpoints, nearest } from '../blocks.ts';

/** The value of a block with the largest magnitude, with its sign; the first of several. */
export const extreme = (values: ArrayLike<number>): number => {
  let found = 0;
  for (let i = 0; i < values.length; i++) if (Math.abs(values[i]!) > Math.abs(found)) found = values[i]!;
  return found;
};

/** The least and the largest value. */
export const ends = (values: ArrayLike<number>): readonly [least: number, largest: number] => {
  let [least, largest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    least = Math.min(least, values[i]!);
    largest = Math.max(largest, values[i]!);
  }
  return [least, largest];
};

/** 1 / x, in f32; 0 for 0. */
export const inverse = (x: number): number => (x === 0 ? 0 : Math.fround(1 / x));

const within = (x: number, most: number): number => Math.max(0, Math.min(most, x));

/** Codes of values: ⌊(v − shift)·factor + bias⌋, cut to [0, most]. */
export const codesOf = (values: ArrayLike<number>, factor: number, bias: number, most: number, shift = 0): Uint8Array =>
  Uint8Array.from(values, (v) => within(Math.trunc(Math.fround((v - shift) * factor + bias)), most));

/** A line through codes: values ≈ code·scale − min. */
export interface Line {
  readonly scale: number;
  readonly min: number;
}

const nearestCodes = (values: ArrayLike<number>, { scale, min }: Line, most: number): number[] =>
  Array.from(values, (v) => (scale > 0 ? within(Math.round((v + min) / scale), most) : 0));

const errorOf = (values: ArrayLike<number>, codes: readonly number[], { scale, min }: Line): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (codes[i]! * scale - min - values[i]!) ** 2;
  return sum;
};

/** The line with the least squared error for given codes; its minimum is no less than 0. */
const lineThrough = (values: ArrayLike<number>, codes: readonly number[]): Line => {
  const n = values.length;
  let [sumCode, sumSquare, sumValue, sumProduct] = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    sumCode += codes[i]!;
    sumSquare += codes[i]! ** 2;
    sumValue += values[i]!;
    sumProduct += codes[i]! * values[i]!;
  }
  const determinant = n * sumSquare - sumCode ** 2;
  const scale = determinant > 0 ? (n * sumProduct - sumCode * sumValue) / determinant : 0;
  const min = determinant > 0 ? (sumCode * sumProduct - sumSquare * sumValue) / determinant : 0;
  return min >= 0 ? { scale, min } : { scale: sumSquare > 0 ? sumProduct / sumSquare : 0, min: 0 };
};

/** Steps that a line is moved in turn with its codes. */
const rounds = 8;

/** A line for values, its minimum no less than 0: from the least to the largest, then codes and line in turn while the squared error falls. */
export const fitLine = (values: ArrayLike<number>, most: number): Line => {
  const [least, largest] = ends(values);
  const min = Math.max(0, -least);
  let best: Line = { scale: Math.max(0, (largest + min) / most), min };
  let error = errorOf(values, nearestCodes(values, best, most), best);
  let line = best;
  for (let round = 0; round < rounds; round++) {
    line = lineThrough(values, nearestCodes(values, line, most));
    if (line.scale <= 0) break;
    const now = errorOf(values, nearestCodes(values, line, most), line);
    if (now >= error) break;
    [best, error] = [line, now];
  }
  return best;
};

/** The nearest level of a number, and its code. */
export interface Levels {
  /** The level with the largest magnitude. */
  readonly top: number;
  code(value: number): number;
  level(code: number): number;
}

/** Whole numbers from −zero to most − zero, of codes 0 to most. */
export const wholeLevels = (zero: number, most: number): Levels => ({
  top: -zero,
  code: (value) => within(Math.round(value) + zero, most),
  level: (code) => code - zero,
});

/** An ascending table of levels. */
export const tableLevels = (levels: readonly number[]): Levels => {
  const points = midpoints(levels);
  return { top: extreme(levels), code: (value) => nearest(points, value), level: (code) => levels[code]! };
};

/**
 * A scale for values ≈ level·scale: from the one that takes the largest magnitude to the largest level on, levels and scale in turn while the
 * squared error falls.
 */
export const fitScale = (values: ArrayLike<number>, { top, code, level }: Levels): number => {
  const start = extreme(values) / top;
  if (start === 0) return 0;
  const levelOf = (v: number, scale: number): number => level(code(v / scale));
  const errorOfScale = (scale: number): number => {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += (levelOf(values[i]!, scale) * scale - values[i]!) ** 2;
    return sum;
  };
  let [best, least] = [start, errorOfScale(start)];
  for (let round = 0; round < rounds; round++) {
    let [product, square] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const at = levelOf(values[i]!, best);
      product += at * values[i]!;
      square += at * at;
    }
    if (square === 0 || product === 0) break;
    const error = errorOfScale(product / square);
    if (error >= least) break;
    [best, least] = [product / square, error];
  }
  return best;
};

/** The code of the nearest level of each value. */
export const codesOfLevels = (values: ArrayLike<number>, scale: number, { code }: Levels): Uint8Array =>
  Uint8Array.from(values, (v) => code(scale === 0 ? 0 : v / scale));
