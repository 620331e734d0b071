import {
  dynamicMap,
  type Packed,
  type PackedAttrs,
  type PackedFormat,
  type PackedOption,
  packedFormats,
  packedRow,
  type ScaleMap,
  scaleGroup,
  sizeOf,
} from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import { product, rows as rowsOf } from './matmul.ts';
import type { Rule } from './rule.ts';
import { availableAfter } from './shape.ts';
import { wholeProduct } from './whole-products.ts';

/** A packed matrix, or some rows of it, with its scales and minima unpacked. */
interface Matrix {
  /** uint8 [rows, bytes of a row] */
  readonly codes: Value;
  /** uint8 [rows, bytes of a row]: upper bits. */
  readonly high: Value | null;
  /** float [rows, blocks of a row] */
  readonly scales: Value;
  readonly minima: Value | null;
}

type Parts = Packed<Value>;

/** Values of a packed matrix that are unpacked at a time: 16 MiB of them. */
const mostValues = 2 ** 22;

const range = (g: Emitter, x: Value, axis: number, from: number, to: number): Value =>
  from === 0 && to === x.shape[axis]
    ? x
    : g.node(
        'Slice',
        [x, g.ints([from]), g.ints([to]), g.ints([axis])],
        x.shape.map((d, i) => (i === axis ? to - from : d)),
      );

/** Zeros at the end of an axis of a matrix. */
const padTo = (g: Emitter, x: Value, axis: 0 | 1, size: number): Value => {
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
const floats = (g: Emitter, x: Value): Value => (x.type === 'float' ? x : g.cast(x, 'float'));

/** The meanings of codes of scales, 256 numbers. */
const scaleLevels: { readonly [M in ScaleMap]: ArrayLike<number> } = {
  uint8: Array.from({ length: 256 }, (_, code) => code),
  int8: Array.from({ length: 256 }, (_, code) => code - 128),
  dynamic: dynamicMap,
};

/** One number a code, times that of its super-block: shaped as the codes. */
const grouped = (g: Emitter, codes: Value, map: ScaleMap, scale: Value, group: number): Value => {
  const [size, groups] = [sizeOf(codes.shape), scale.shape[0]!];
  const table = g.constant(Array.from(scaleLevels[map]), 'float');
  const levels = g.node('Gather', [table, g.cast(g.reshape(codes, [size, 1]), 'int32')], [size, 1]);
  const blocks = g.reshape(padTo(g, levels, 0, groups * group), [groups, group]);
  const scaled = g.node('Mul', [blocks, g.reshape(floats(g, scale), [groups, 1])], blocks.shape);
  return g.reshape(range(g, g.reshape(scaled, [groups * group, 1]), 0, 0, size), codes.shape);
};

/** Scales and minima of all blocks; those that are packed are unpacked when `token` is there. */
const blocksOf = (
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

/** For every byte of a plane its codes, as `level` has them: [256, codes of a byte]. */
const byteTable = (bits: number, level: (code: number) => number): readonly number[] => {
  const perByte = 8 / bits;
  return Array.from({ length: 256 * perByte }, (_, i) => {
    const shift = (perByte - 1 - (i % perByte)) * bits;
    return level((Math.floor(i / perByte) >> shift) & (2 ** bits - 1));
  });
};

/** [rows, codes]: what a table says of each byte of a plane. */
const lookUp = (
  g: Emitter,
  plane: Value,
  bits: number,
  type: 'float' | 'int32',
  level: (code: number) => number,
): Value => {
  const table = g.constant(byteTable(bits, level), type, [256, 8 / bits]);
  const found = g.node('Gather', [table, g.cast(plane, 'int32')], [...plane.shape, 8 / bits], {}, type);
  return g.reshape(found, [plane.shape[0]!, plane.shape[1]! * (8 / bits)]);
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
  return g.node('Gather', [g.constant(Array.from(levels), 'float'), sum], sum.shape, {}, 'float');
};

/** [rows, blocks · block]: the values of a matrix. */
const unpackAll = (g: Emitter, matrix: Matrix, { format, block }: PackedAttrs): Value => {
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
const pieces = (g: Emitter, matrix: Matrix, width: number): { readonly from: number; readonly piece: Matrix }[] => {
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
const late = (g: Emitter, matrix: Matrix, token: Value): Matrix => ({
  ...matrix,
  codes: availableAfter(g, matrix.codes, token),
  high: matrix.high && availableAfter(g, matrix.high, token),
});

/** Block sizes that ONNX Runtime's product by 4-bit matrices takes. */
const bnb4Blocks = new Set([16, 32, 64, 128, 256]);

/** The formats that it takes, by the number that it has for them. */
const bnb4Types: { readonly [F in PackedFormat]?: number } = { fp4: 0, nf4: 1 };

/** x·Wᵀ of some rows of W, x filled up to whole blocks. */
const byRows = (g: Emitter, x: Value, matrix: Matrix, attrs: PackedAttrs, token: Value): Value => {
  const { format, block } = attrs;
  const [n, k] = [matrix.codes.shape[0]!, x.shape[1]!];
  const type = bnb4Types[format];
  if (type === undefined || matrix.minima || !bnb4Blocks.has(block))
    return product(g, x, unpackAll(g, late(g, matrix, token), attrs), { transposeB: true });
  const flat = [
    g.reshape(matrix.codes, [sizeOf(matrix.codes.shape)]),
    g.reshape(matrix.scales, [sizeOf(matrix.scales.shape)]),
  ];
  return g.node('com.microsoft.MatMulBnb4', [x, ...flat], [x.shape[0]!, n], {
    K: k,
    N: n,
    block_size: block,
    quant_type: type,
  });
};

/** The values of a packed matrix. */
export const dequantize: Rule<'codes' | 'scale', PackedAttrs, PackedOption> = ({ g, ...parts }, attrs) => {
  const { codes, high = null } = parts;
  const values = unpackAll(g, { codes, high, ...blocksOf(g, parts, attrs, null) }, attrs);
  return range(g, values, 1, 0, attrs.inDim);
};

/**
 * A product by a packed matrix: x·Wᵀ of 4 bits by ONNX Runtime's own product, which unpacks W into its scratch; the others unpack pieces
 * of W, each after the product before, so that their memory is used again.
 */
export const matmul_quantized: Rule<
  'x' | 'codes' | 'scale',
  PackedAttrs & { readonly transposed?: boolean; readonly compute?: 'int8' },
  PackedOption
> = ({ g, x, out, ...parts }, attrs) => {
  const { inDim, block, transposed = false } = attrs;
  const { codes, high = null } = parts;
  if (attrs.compute)
    return sizeOf(out.shape) === 0
      ? g.zeros(out)
      : g.reshape(wholeProduct(g, x, { codes, scale: floats(g, parts.scale) }, transposed), out.shape);
  const width = packedRow(attrs).blocks * block;
  const rows = rowsOf(g, x);
  const parted = pieces(g, { codes, high, ...blocksOf(g, parts, attrs, x) }, width);
  if (!transposed) {
    const filled = padTo(g, rows, 1, width);
    const made: Value[] = [];
    for (const { piece } of parted) made.push(byRows(g, filled, piece, attrs, made.at(-1) ?? x));
    const y = made.length === 1 ? made[0]! : g.node('Concat', made, [rows.shape[0]!, codes.shape[0]!], { axis: 1 });
    return g.reshape(y, out.shape);
  }
  const total = parted.reduce<Value | null>((sum, { from, piece }) => {
    const values = unpackAll(g, late(g, piece, sum ?? x), attrs);
    const part = product(g, range(g, rows, 1, from, from + piece.codes.shape[0]!), values);
    return sum ? g.node('Add', [sum, part], part.shape) : part;
  }, null);
  return g.reshape(range(g, total!, 1, 0, inDim), out.shape);
};
