import {
  dynamicMap,
  nf4Levels,
  type PackedAttrs,
  type PackedFormat,
  packedRow,
  scaleGroup,
  sizeOf,
} from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import { product, rows as rowsOf } from './matmul.ts';
import type { Rule } from './rule.ts';
import { availableAfter } from './shape.ts';

/** A packed matrix, or some rows of it, with its scales unpacked. */
interface Matrix {
  /** uint8 [rows, bytes of a row] */
  readonly codes: Value;
  /** float [rows, blocks of a row] */
  readonly scales: Value;
}

type Parts = {
  readonly codes: Value;
  readonly scale: Value;
  readonly scaleCodes?: Value;
  readonly scaleOffset?: Value;
};

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

const scalesOf = (g: Emitter, { scale, scaleCodes, scaleOffset }: Parts, token: Value | null): Value => {
  if (!scaleCodes) return scale;
  const codes = token ? availableAfter(g, scaleCodes, token) : scaleCodes;
  const [size, groups] = [sizeOf(codes.shape), scale.shape[0]!];
  const map = g.constant(dynamicMap, 'float');
  const levels = g.node('Gather', [map, g.cast(g.reshape(codes, [size, 1]), 'int32')], [size, 1]);
  const grouped = g.reshape(padTo(g, levels, 0, groups * scaleGroup), [groups, scaleGroup]);
  const scaled = g.node('Mul', [grouped, g.reshape(scale, [groups, 1])], grouped.shape);
  const all = range(g, g.reshape(scaled, [groups * scaleGroup, 1]), 0, 0, size);
  return g.reshape(g.node('Add', [all, scaleOffset!], [size, 1]), codes.shape);
};

/** [rows, blocks · block]: what an 8-bit matrix is, by ONNX's own operator. */
const unpackBytes = (g: Emitter, { codes, scales }: Matrix, block: number): Value => {
  // A scale for each row takes an operator that walks rows, which is faster.
  const blocked = scales.shape[1]! > 1;
  const factors = blocked ? scales : g.reshape(scales, [scales.shape[0]!]);
  const zeros = g.node('Expand', [g.constant([128], 'uint8', []), g.ints(factors.shape)], factors.shape);
  const attributes = blocked ? { axis: 1, block_size: block } : { axis: 0 };
  return g.node('DequantizeLinear', [codes, factors, zeros], codes.shape, attributes, 'float');
};

/** The levels of a byte's two codes, for every byte. */
const pairs: readonly number[] = Array.from({ length: 256 }, (_, byte) => [
  nf4Levels[byte >> 4]!,
  nf4Levels[byte & 15]!,
]).flat();

/** [rows, blocks · block]: two values a byte, from a table; then the scale of each block. */
const unpackNibbles = (g: Emitter, { codes, scales }: Matrix, block: number): Value => {
  const table = g.constant(pairs, 'float', [256, 2]);
  const levels = g.node('Gather', [table, g.cast(codes, 'int32')], [...codes.shape, 2], {}, 'float');
  const blocks = g.reshape(levels, [sizeOf(scales.shape), block]);
  const values = g.node('Mul', [blocks, g.reshape(scales, [sizeOf(scales.shape), 1])], blocks.shape);
  return g.reshape(values, [codes.shape[0]!, 2 * codes.shape[1]!]);
};

const unpackers: Readonly<Record<PackedFormat, typeof unpackBytes>> = { int8: unpackBytes, nf4: unpackNibbles };

/** Rows of a matrix in pieces of a size that may be unpacked at a time. */
const pieces = (g: Emitter, matrix: Matrix, width: number): { readonly from: number; readonly piece: Matrix }[] => {
  const rows = matrix.codes.shape[0]!;
  const size = Math.max(1, Math.floor(mostValues / width));
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
    const [from, to] = [i * size, Math.min(rows, (i + 1) * size)];
    return {
      from,
      piece: { codes: range(g, matrix.codes, 0, from, to), scales: range(g, matrix.scales, 0, from, to) },
    };
  });
};

/** A piece that is unpacked when `token` is there, and not kept from another use of the same matrix. */
const late = (g: Emitter, { codes, scales }: Matrix, token: Value): Matrix => ({
  codes: availableAfter(g, codes, token),
  scales,
});

/** Block sizes that ONNX Runtime's product by 4-bit matrices takes. */
const bnb4Blocks = new Set([16, 32, 64, 128, 256]);

/** x·Wᵀ of some rows of W, x filled up to whole blocks. */
const byRows = (g: Emitter, x: Value, matrix: Matrix, { format, block }: PackedAttrs, token: Value): Value => {
  const [n, k] = [matrix.codes.shape[0]!, x.shape[1]!];
  if (format !== 'nf4' || !bnb4Blocks.has(block))
    return product(g, x, unpackers[format](g, late(g, matrix, token), block), { transposeB: true });
  const flat = [
    g.reshape(matrix.codes, [sizeOf(matrix.codes.shape)]),
    g.reshape(matrix.scales, [sizeOf(matrix.scales.shape)]),
  ];
  return g.node('com.microsoft.MatMulBnb4', [x, ...flat], [x.shape[0]!, n], {
    K: k,
    N: n,
    block_size: block,
    quant_type: 1,
  });
};

/** The values of a packed matrix. */
export const dequantize: Rule<'codes' | 'scale', PackedAttrs, 'scaleCodes' | 'scaleOffset'> = (
  { g, ...parts },
  attrs,
) => {
  const values = unpackers[attrs.format](g, { codes: parts.codes, scales: scalesOf(g, parts, null) }, attrs.block);
  return range(g, values, 1, 0, attrs.inDim);
};

/**
 * A product by a packed matrix: x·Wᵀ of 4 bits by ONNX Runtime's own product, which unpacks W into its scratch; the others unpack pieces
 * of W, each after the product before, so that their memory is used again.
 */
export const matmul_quantized: Rule<
  'x' | 'codes' | 'scale',
  PackedAttrs & { readonly transposed?: boolean },
  'scaleCodes' | 'scaleOffset'
> = ({ g, x, out, ...parts }, attrs) => {
  const { format, inDim, block, transposed = false } = attrs;
  const width = packedRow(attrs).blocks * block;
  const rows = rowsOf(g, x);
  const parted = pieces(g, { codes: parts.codes, scales: scalesOf(g, parts, x) }, width);
  if (!transposed) {
    const filled = padTo(g, rows, 1, width);
    const made: Value[] = [];
    for (const { piece } of parted) made.push(byRows(g, filled, piece, attrs, made.at(-1) ?? x));
    const y =
      made.length === 1 ? made[0]! : g.node('Concat', made, [rows.shape[0]!, parts.codes.shape[0]!], { axis: 1 });
    return g.reshape(y, out.shape);
  }
  const total = parted.reduce<Value | null>((sum, { from, piece }) => {
    const values = unpackers[format](g, late(g, piece, sum ?? x), block);
    const part = product(g, range(g, rows, 1, from, from + piece.codes.shape[0]!), values);
    return sum ? g.node('Add', [sum, part], part.shape) : part;
  }, null);
  return g.reshape(range(g, total!, 1, 0, inDim), out.shape);
};
