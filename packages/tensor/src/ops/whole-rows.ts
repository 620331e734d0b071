import { packedFormats } from './packed-formats.ts';
import { type Packed, type PackedAttrs, packedRow, unpack, unpackBlocks } from './packed-matrix.ts';

/** The largest whole number that a value is rounded to. */
const mostCode = 127;

/** Half to even. */
const even = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));

/**
 * A row of values as whole numbers and the step between them: q = round(x / r), half to even, r = max|x| / 127 in f32. Where a value is not finite, neither is r.
 */
export const roundRow = (x: Float64Array): { readonly q: Float64Array; readonly r: number } => {
  const most = x.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-30);
  const r = Math.fround(Math.fround(most) * Math.fround(1 / mostCode));
  const inverse = Math.fround(1 / r);
  return { q: x.map((v) => even(Math.fround(v * inverse))), r };
};

/** A matrix as products of whole numbers take it. */
export interface WholeRows {
  /** [rows, inDim]: whole numbers in [−127, 127]. */
  readonly codes: Float64Array;
  /** The step between them, of each row. */
  readonly steps: Float64Array;
}

/** Whether a packed matrix is stored so already: `sint8` with one scale a row and nothing else. */
export const isWhole = (
  { format, inDim, block }: PackedAttrs,
  { scaleCodes, scaleOffset, high, min, minCodes }: Packed<unknown>,
): boolean =>
  format === 'sint8' && block === inDim && [scaleCodes, scaleOffset, high, min, minCodes].every((part) => !part);

/** The least and the largest level of a format. */
export const levelRange = ({ format }: Pick<PackedAttrs, 'format'>): readonly [number, number] => {
  const { levels } = packedFormats[format];
  return [Math.min(...levels), Math.max(...levels)];
};

/**
 * The values of a packed matrix as whole numbers: c = round(w / r), r being what a code of the row can stand for at most, over 127: max over its blocks of max(|hi·s − m|, |lo·s − m|) with the least and
 * the largest level of the format. That is read off the scales alone; in formats whose blocks reach their largest level it is the row's largest value. Executors may round
 * a value that is just between two steps to either.
 */
export const wholeRows = (packed: Packed<ArrayLike<number>>, rows: number, attrs: PackedAttrs): WholeRows => {
  const { inDim } = attrs;
  const values = unpack(packed, rows, attrs);
  const { blocks } = packedRow(attrs);
  const at = unpackBlocks(packed, attrs);
  const levels = levelRange(attrs);
  const steps = Float64Array.from({ length: rows }, (_, row) => {
    let most = 1e-30;
    for (let i = row * blocks; i < (row + 1) * blocks; i++) {
      const { scale, min } = at(i);
      for (const level of levels) most = Math.max(most, Math.abs(level * scale - min));
    }
    return Math.fround(most / mostCode);
  });
  return { codes: values.map((v, i) => even(v / steps[Math.floor(i / inDim)]!)), steps };
};
