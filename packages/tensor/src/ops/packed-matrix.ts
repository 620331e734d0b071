import type { DType } from '../dtype.ts';
import { PeftError } from '../error.ts';
import { describe, type Shape, type Spec, sameShape, shapeError, sizeOf } from '../shape.ts';
import { accepts } from './accepts.ts';
import { dynamicMap } from './dynamic-map.ts';
import { codeAt, type PackedFormat, packedFormats } from './packed-formats.ts';

/** The meaning of a code of a packed scale: itself, itself − 128, or a number of the dynamic data type in [−1, 1]. */
export type ScaleMap = 'uint8' | 'int8' | 'dynamic';

/** How a matrix [outDim, inDim] is packed: each row in blocks of values that share a scale, the last block filled up. */
export interface PackedAttrs {
  readonly format: PackedFormat;
  readonly inDim: number;
  /** Values of a block; whole bytes of codes. */
  readonly block: number;
  /** Scales (and minima) of a super-block, counted through all rows, which share a scale where they are packed themselves. Default 256. */
  readonly group?: number;
  /** The meaning of the codes of packed scales. Default `dynamic`. */
  readonly scaleMap?: ScaleMap;
}

/** The inputs that hold a packed matrix. */
export type PackedInputs = readonly ['codes', 'scale'];
/** Those that it has where its format asks for them. */
export type PackedOptional = readonly ['scaleCodes', 'scaleOffset', 'high', 'min', 'minCodes'];
/** The name of an optional input. */
export type PackedOption = PackedOptional[number];

/**
 * One `T` for each tensor of a packed matrix. A value is level(code) · s − m, with s and m of its block:
 * s = `scale`, or map(`scaleCodes`) · `scale` + `scaleOffset` where scales are packed;
 * m = 0, or `min`, or `minCodes` · `min` where minima are packed, or `minCodes` · s where `minCodes` alone are given: zero points.
 */
export interface Packed<T> {
  /** u8 [outDim, bytes of a row]: the codes, their lower bits where a format has high ones. */
  readonly codes: T;
  /** f32 or f16 [outDim, blocks of a row]; where scales are packed, [groups]: one for each super-block. */
  readonly scale: T;
  /** u8 [outDim, blocks of a row] */
  readonly scaleCodes?: T;
  /** f32 []: added to the unpacked scales. */
  readonly scaleOffset?: T;
  /** u8 [outDim, bytes of a row]: the upper bits of codes of 3, 5 and 6 bits. */
  readonly high?: T;
  /** f32 or f16 [outDim, blocks of a row]; where minima are packed, [groups]. */
  readonly min?: T;
  /** u8 [outDim, blocks of a row] */
  readonly minCodes?: T;
}

/** Packed scales of a group where a matrix does not say otherwise. */
export const scaleGroup = 256;

/** Sizes of a row as it is stored: `bytes` of codes, `highBytes` of their upper bits. */
export const packedRow = ({
  format,
  inDim,
  block,
}: PackedAttrs): { readonly blocks: number; readonly bytes: number; readonly highBytes: number } => {
  const blocks = Math.ceil(inDim / block);
  const { lowBits, highBits } = packedFormats[format];
  return { blocks, bytes: (blocks * block * lowBits) / 8, highBytes: (blocks * block * highBits) / 8 };
};

/** Values that fill whole bytes of every plane of a format: blocks are of such. */
export const wholeBytes = (format: PackedFormat): number => {
  const { lowBits, highBits } = packedFormats[format];
  return 8 / (highBits || lowBits);
};

/** The shape of each part of a packed matrix of so many rows, of those in `parts`. */
export const packedShapes = <P extends PackedOption>(
  attrs: PackedAttrs,
  rows: number,
  parts: readonly P[],
): { readonly [K in 'codes' | 'scale' | P]: Shape } => {
  const { blocks, bytes, highBytes } = packedRow(attrs);
  const all = [rows, blocks];
  const groups = [Math.ceil((rows * blocks) / (attrs.group ?? scaleGroup))];
  const has = new Set<PackedOption>(parts);
  const shapes: { readonly [K in keyof Packed<Shape>]-?: Shape } = {
    codes: [rows, bytes],
    scale: has.has('scaleCodes') ? groups : all,
    scaleCodes: all,
    scaleOffset: [],
    high: [rows, highBytes],
    min: has.has('minCodes') ? groups : all,
    minCodes: all,
  };
  return Object.fromEntries(
    Object.entries(shapes).filter(([name]) => name === 'codes' || name === 'scale' || has.has(name as PackedOption)),
  ) as { readonly [K in 'codes' | 'scale' | P]: Shape };
};

const stored: { readonly [K in keyof Packed<unknown>]-?: readonly DType[] } = {
  codes: ['u8'],
  scale: ['f32', 'f16'],
  scaleCodes: ['u8'],
  scaleOffset: ['f32'],
  high: ['u8'],
  min: ['f32', 'f16'],
  minCodes: ['u8'],
};

const checkSizes = (op: string, { format, inDim, block, group = scaleGroup }: PackedAttrs): void => {
  const of = wholeBytes(format);
  if (![inDim, block, group].every((n) => Number.isSafeInteger(n) && n > 0) || block % of > 0)
    throw new PeftError(
      'bad-option',
      `${op}: got inDim ${inDim}, block ${block} and group ${group} of ${format}; they must be positive integers` +
        `${of > 1 ? `, a block of ${format} a multiple of ${of}` : ''}`,
    );
};

/** The number of rows. Throws `bad-shape`, `bad-dtype`, `bad-option` where the parts do not fit each other. */
export const checkPacked = (op: string, packed: Packed<Spec>, attrs: PackedAttrs): number => {
  checkSizes(op, attrs);
  const given = Object.entries(stored).flatMap(([name, dtypes]): [keyof Packed<Spec>, Spec][] => {
    const spec = packed[name as keyof Packed<Spec>];
    if (!spec) return [];
    accepts(op, name, spec, dtypes);
    return [[name as keyof Packed<Spec>, spec]];
  });
  const parts = given.flatMap(([name]) => (name === 'codes' || name === 'scale' ? [] : [name]));
  const rows = packed.codes.shape[0] ?? 0;
  const shapes: Partial<Record<keyof Packed<Spec>, Shape>> = packedShapes(attrs, Math.max(1, rows), parts);
  const needsHigh = packedFormats[attrs.format].highBits > 0;
  if (needsHigh !== (packed.high !== undefined))
    throw new PeftError(
      'bad-shape',
      `${op}: ${attrs.format} ${needsHigh ? 'takes `high`, the upper bits of its codes' : 'has no `high`'}`,
    );
  if (packed.scaleOffset && !packed.scaleCodes)
    throw new PeftError('bad-shape', `${op}: scaleOffset goes with scaleCodes, which are not given`);
  const odd = given.filter(([name, { shape }]) => rows === 0 || !sameShape(shape, shapes[name]!));
  if (odd.length > 0)
    throw shapeError(
      op,
      given.map(([, spec]) => spec),
      `a row of ${attrs.inDim} in blocks of ${attrs.block} takes ` +
        `${odd.map(([name, spec]) => `${name} [${shapes[name]!.join(', ')}], not ${describe(spec)}`).join('; ')}`,
    );
  return rows;
};

const scaleMaps: { readonly [M in ScaleMap]: (code: number) => number } = {
  uint8: (code) => code,
  int8: (code) => code - 128,
  dynamic: (code) => dynamicMap[code]!,
};

/** The scale of a block, by its number. */
const scaleOf =
  (
    { scale, scaleCodes, scaleOffset }: Packed<ArrayLike<number>>,
    { group = scaleGroup, scaleMap = 'dynamic' }: PackedAttrs,
  ) =>
  (i: number): number =>
    scaleCodes
      ? scaleMaps[scaleMap](scaleCodes[i]!) * scale[Math.floor(i / group)]! + (scaleOffset?.[0] ?? 0)
      : scale[i]!;

/** The minimum of a block, by its number, and its scale. */
const minOf =
  ({ min, minCodes }: Packed<ArrayLike<number>>, { group = scaleGroup }: PackedAttrs) =>
  (i: number, scale: number): number => {
    if (!minCodes) return min?.[i] ?? 0;
    return minCodes[i]! * (min ? min[Math.floor(i / group)]! : scale);
  };

/** Scale and minimum of a block, by its number. */
export const unpackBlocks = (
  packed: Packed<ArrayLike<number>>,
  attrs: PackedAttrs,
): ((i: number) => { readonly scale: number; readonly min: number }) => {
  const [scaleAt, minAt] = [scaleOf(packed, attrs), minOf(packed, attrs)];
  return (i) => {
    const scale = scaleAt(i);
    return { scale, min: minAt(i, scale) };
  };
};

/** The values [outDim, inDim], by the definition. */
export const unpack = (packed: Packed<ArrayLike<number>>, rows: number, attrs: PackedAttrs): Float64Array => {
  const { format, inDim, block } = attrs;
  const { levels } = packedFormats[format];
  const { blocks } = packedRow(attrs);
  const at = unpackBlocks(packed, attrs);
  const out = new Float64Array(sizeOf([rows, inDim]));
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < inDim; column++) {
      const { scale, min } = at(row * blocks + Math.floor(column / block));
      const code = codeAt(format, packed.codes, row * blocks * block + column, packed.high);
      out[row * inDim + column] = levels[code]! * scale - min;
    }
  return out;
};
