import {
  dynamicMap,
  type Packed,
  type PackedAttrs,
  type PackedFormat,
  packedFormats,
  type ScaleMap,
  scaleGroup,
  sizeOf,
} from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import { availableAfter, range } from './shape.ts';

/** A packed matrix, or some rows of it, with its scales and minima unpacked. */
export interface Matrix {
  /** uint8 [rows, bytes of a row] */
  readonly codes: Value;
  /** uint8 [rows, bytes of a row]: upper bits. */
  readonly high: Value | null;
  /** float [rows, blocks of a row] */
  readonly scales: Value;
  readonly minima: Value | null;
}

/** The parts of a packed matrix in the graph. */
export type Parts = Packed<Value>;

/** Values of a packed matrix that are unpacked at a time: 8 MiB of them. */
const mostValues = 2 ** 21;

/** Zeros at the end of an axis of a matrix. */
export const padTo = (g: Emitter, x: Value, axis: 0 | 1, size: number): Value => {
  const more = size - x.shape[axis]!;
  if (more === 0) return x;
  const ends = axis === 0 ? [more, 0] : [0, more];
  return g.node(
    'Pad',
    [x, g.ints([0, 0, ...ends])],
    x.shape.map((d, i) => (i === axis ? size : d)),
  );
};

/** Floats of f32 or f16. */
export const floats = (g: Emitter, x: Value): Value => (x.type === 'float' ? x : g.cast(x, 'float'));

/** The meanings of codes of scales, 256 numbers. */
const scaleLevels: { readonly [M in ScaleMap]: ArrayLike<number> } = {
  uint8: Array.from({ length: 256 }, (_, code) => code),
  int8: Array.from({ length: 256 }, (_, code) => code - 128),
  dynamic: dynamicMap,
};

/** A table's values for each number of a vector. One number at a time ONNX Runtime finds by `GatherElements` at an eighth of the time that `Gather` takes. */
const each = (g: Emitter, table: Value, of: Value): Value => g.node('GatherElements', [table, of], of.shape);

/** Bytes as a vector of indices. They are cast first, as a Reshape must not come right behind `availableAfter`. */
const inRow = (g: Emitter, bytes: Value): Value => g.reshape(g.cast(bytes, 'int32'), [sizeOf(bytes.shape)]);

/** One number a code, times that of its super-block: shaped as the codes. */
const grouped = (g: Emitter, codes: Value, map: ScaleMap, scale: Value, group: number): Value => {
  const [size, groups] = [sizeOf(codes.shape), scale.shape[0]!];
  const table = g.constant(Array.from(scaleLevels[map]), 'float');
  const levels = g.reshape(each(g, table, inRow(g, codes)), [size, 1]);
  const blocks = g.reshape(padTo(g, levels, 0, groups * group), [groups, group]);
  const scaled = g.node('Mul', [blocks, g.reshape(floats(g, scale), [groups, 1])], blocks.shape);
  return g.reshape(range(g, g.reshape(scaled, [groups * group, 1]), 0, 0, size), codes.shape);
};

/** Scales and minima of all blocks; those that are packed are unpacked when `token` is there. */
export const blocksOf = (
  g: Emitter,
  { scale, scaleCodes, scaleOffset, min, minCodes }: Parts,
  { group = scaleGroup, scaleMap = 'dynamic' }: PackedAttrs,
  token: Value | null,
): Pick<Matrix, 'scales' | 'minima'> => {
  const late = (x: Value): Value => (token ? availableAfter(g, x, token) : x);
  const unpacked = scaleCodes ? grouped(g, late(scaleCodes), scaleMap, scale, group) : null;
  const scales =
    unpacked && scaleOffset ? g.node('Add', [unpacked, scaleOffset], unpacked.shape) : (unpacked ?? floats(g, scale));
  if (!minCodes) return { scales, minima: min ? floats(g, min) : null };
  if (min) return { scales, minima: grouped(g, late(minCodes), 'uint8', min, group) };
  return { scales, minima: g.node('Mul', [g.cast(late(minCodes), 'float'), scales], scales.shape) };
};

/** [rows, blocks · block]: 8-bit whole numbers times scales, by ONNX's own operator. */
const unpackBytes = (g: Emitter, { codes, scales }: Matrix, block: number, zero: number): Value => {
  // A scale for each row takes an operator that walks rows, which is faster.
  const blocked = scales.shape[1]! > 1;
  const factors = blocked ? scales : g.reshape(scales, [scales.shape[0]!]);
  const zeros = g.node('Expand', [g.constant([zero], 'uint8', []), g.ints(factors.shape)], factors.shape);
  const attributes = blocked ? { axis: 1, block_size: block } : { axis: 0 };
  return g.node('DequantizeLinear', [codes, factors, zeros], codes.shape, attributes, 'float');
};

/** A table for every place in a byte: of each byte, what a function says of the code at that place. */
export const byteTables = (bits: number, level: (code: number) => number): readonly (readonly number[])[] => {
  const perByte = 8 / bits;
  return Array.from({ length: perByte }, (_, place) => {
    const shift = (perByte - 1 - place) * bits;
    return Array.from({ length: 256 }, (__, byte) => level((byte >> shift) & (2 ** bits - 1)));
  });
};

/** [rows, codes]: what a function says of each code of a plane, by a table of bytes for each place in a byte. */
const lookUp = (
  g: Emitter,
  plane: Value,
  bits: number,
  type: 'float' | 'int32',
  level: (code: number) => number,
): Value => {
  const [perByte, size] = [8 / bits, sizeOf(plane.shape)];
  const bytes = inRow(g, plane);
  const found = byteTables(bits, level).map((table) => g.reshape(each(g, g.constant(table, type), bytes), [size, 1]));
  const all = perByte === 1 ? found[0]! : g.node('Concat', found, [size, perByte], { axis: 1 });
  return g.reshape(all, [plane.shape[0]!, plane.shape[1]! * perByte]);
};

/** [rows, codes]: the level of each code, by tables of bytes. Levels of two planes that are whole numbers add up. */
const levelsOf = (g: Emitter, { codes, high }: Matrix, format: PackedFormat): Value => {
  const { lowBits, highBits, levels, zero } = packedFormats[format];
  if (!high) return lookUp(g, codes, lowBits, 'float', (code) => levels[code]!);
  const isWhole = zero !== null;
  const type = isWhole ? 'float' : 'int32';
  const lower = lookUp(g, codes, lowBits, type, (code) => (isWhole ? code - zero : code));
  const upper = lookUp(g, high, highBits, type, (code) => code << lowBits);
  const sum = g.node('Add', [lower, upper], lower.shape, {}, type);
  if (isWhole) return sum;
  const places = g.reshape(sum, [sizeOf(sum.shape)]);
  return g.reshape(each(g, g.constant(Array.from(levels), 'float'), places), sum.shape);
};

/** [rows, blocks · block]: the values of a matrix. */
export const unpackAll = (g: Emitter, matrix: Matrix, { format, block }: PackedAttrs): Value => {
  const { scales, minima, codes } = matrix;
  const { lowBits, zero } = packedFormats[format];
  const one = [sizeOf(scales.shape), 1];
  const inBlocks = (x: Value): Value => g.reshape(x, [sizeOf(scales.shape), block]);
  const scaled =
    lowBits === 8 && zero !== null
      ? unpackBytes(g, matrix, block, zero)
      : g.node('Mul', [inBlocks(levelsOf(g, matrix, format)), g.reshape(scales, one)], [one[0]!, block]);
  const values = minima ? g.node('Sub', [inBlocks(scaled), g.reshape(minima, one)], [one[0]!, block]) : scaled;
  return g.reshape(values, [codes.shape[0]!, scales.shape[1]! * block]);
};

/** Rows of a matrix in pieces of a size that may be unpacked at a time. */
export const pieces = (
  g: Emitter,
  matrix: Matrix,
  width: number,
): { readonly from: number; readonly piece: Matrix }[] => {
  const rows = matrix.codes.shape[0]!;
  const size = Math.max(1, Math.floor(mostValues / width));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
    const [from, to] = [i * size, Math.min(rows, (i + 1) * size)];
    const some = (x: Value): Value => range(g, x, 0, from, to);
    const { codes, high, scales, minima } = matrix;
    return {
      from,
      piece: { codes: some(codes), scales: some(scales), high: high && some(high), minima: minima && some(minima) },
    };
  });
};

/** A piece that is unpacked when `token` is there, and not kept from another use of the same matrix. */
export const late = (g: Emitter, matrix: Matrix, token: Value): Matrix => ({
  ...matrix,
  codes: availableAfter(g, matrix.codes, token),
  high: matrix.high && availableAfter(g, matrix.high, token),
});
