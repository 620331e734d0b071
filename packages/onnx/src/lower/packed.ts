import { isWhole, type PackedAttrs, type PackedFormat, type PackedOption, packedRow, sizeOf } from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import { byFewRows } from './few-rows.ts';
import { product, rows as rowsOf } from './matmul.ts';
import type { Rule } from './rule.ts';
import { availableAfter, range } from './shape.ts';
import { blocksOf, floats, late, type Matrix, type Parts, padTo, pieces, unpackAll } from './unpack.ts';
import { wholeProduct } from './whole-products.ts';
import { wholeRows } from './whole-rows.ts';

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

/** The parts of a packed matrix among an op's inputs. */
const partsOf = ({ x: _, ...parts }: Readonly<Record<string, Value | undefined>>): Parts => parts as unknown as Parts;

/**
 * A product by a packed matrix: x·Wᵀ of 4 bits by ONNX Runtime's own product, which unpacks W into its scratch; the others unpack pieces
 * of W, each after the product before, so that their memory is used again.
 */
export const matmul_quantized: Rule<
  'x' | 'codes' | 'scale',
  PackedAttrs & { readonly transposed?: boolean; readonly compute?: 'int8' },
  PackedOption
> = ({ g, x, out, stored, ...parts }, attrs) => {
  const { inDim, block, transposed = false } = attrs;
  const { codes, high = null } = parts;
  if (attrs.compute) {
    if (sizeOf(out.shape) === 0) return g.zeros(out);
    // Those that are fed as int8 are multiplied as they are, or turned when x is there; others are made int8 then.
    const matrix = isWhole(attrs, parts)
      ? { codes: codes.type === 'int8' ? codes : availableAfter(g, codes, x), scale: floats(g, parts.scale) }
      : wholeRows(g, parts, attrs, x);
    return g.reshape(wholeProduct(g, x, matrix, { transposed }), out.shape);
  }
  const few = transposed ? null : byFewRows(g, x, partsOf(stored), attrs);
  if (few) return g.reshape(few, out.shape);
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
