import { type PackedAttrs, packedFormats, sizeOf } from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import { rows as rowsOf } from './matmul.ts';
import { type Parts, padTo } from './unpack.ts';

/** A packed matrix as ONNX Runtime's product by few bits takes it: made on the host of the parts' values, and a constant of the graph. */
export interface BitsMatrix {
  /** The values of the graph that hold its parts, and what is made of them. */
  readonly parts: { readonly [P in keyof Parts]: string };
  readonly attrs: PackedAttrs;
  readonly outDim: number;
  /** Bits of a code, and values along the input that share a scale: at least 16, and a power of two, as the operator wants. */
  readonly bits: 4 | 8;
  readonly block: number;
  readonly blocks: number;
  /** Names of the graph's constants: uint8 [outDim, blocks, bytes of a block], float [outDim, blocks], float [outDim, blocks] or null. */
  readonly codes: string;
  readonly scales: string;
  readonly minima: string | null;
}

/** Bytes of matrices in the runtime: codes, and by block a step, the same beside the packed codes, and what a product by 128 takes off. */
export const packedBytesOf = (matrices: readonly BitsMatrix[]): number =>
  matrices.reduce(
    (n, { outDim, blocks, block, bits, minima }) =>
      n + outDim * blocks * ((block * bits) / 8 + 4 * (minima === null ? 3 : 4)),
    0,
  );

/** Products of more rows unpack the matrix once for all of them, which takes less time then. */
export const fewRows = 16;

/** The code that the operator takes for 0, and what is added to codes so that it is theirs too; 0 where they have no room for it. */
export const centreOf = (
  { format }: PackedAttrs,
  bits: 4 | 8,
): { readonly centre: number; readonly shift: number; readonly zero: number } => {
  const centre = 2 ** (bits - 1);
  // Two's complement becomes the value + 128.
  const zero = format === 'sint8' ? centre : packedFormats[format].zero!;
  const last = 2 ** packedFormats[format].bits - 1;
  const shift = centre - zero;
  return { centre, zero, shift: last + shift < 2 ** bits ? shift : 0 };
};

/** The block that a format's are cut into; null where none fits. A scale a row, and a row's last block filled up, are so too. */
const blockOf = ({ block, inDim }: PackedAttrs): number | null => {
  const of = (width: number): number | undefined => [128, 64, 32, 16].find((size) => width % size === 0);
  return block >= inDim ? (of(inDim) ?? 32) : (of(block) ?? null);
};

const layoutOf = (attrs: PackedAttrs): Pick<BitsMatrix, 'bits' | 'block'> | null => {
  const { zero, bits } = packedFormats[attrs.format];
  const block = blockOf(attrs);
  if (block === null || (zero === null && attrs.format !== 'sint8')) return null;
  return { bits: bits > 4 ? 8 : 4, block };
};

/** The matrix as a constant; null where the operator has no such, or where a part may change while the program is open. */
const constantOf = (g: Emitter, parts: Parts, attrs: PackedAttrs): BitsMatrix | null => {
  const layout = layoutOf(attrs);
  const given = Object.entries(parts).filter(([, value]) => value) as [keyof Parts, Value][];
  if (!layout || !given.every(([, { name }]) => g.frozen?.has(name))) return null;
  const key = JSON.stringify([given.map(([part, { name }]) => [part, name]), attrs]);
  const known = g.bitsMatrices.get(key);
  if (known) return known;
  const { bits, block } = layout;
  const [outDim, blocks] = [parts.codes.shape[0]!, Math.ceil(attrs.inDim / block)];
  const { centre, zero, shift } = centreOf(attrs, bits);
  const constant = (what: string, type: 'float' | 'uint8', shape: readonly number[]): string => {
    const name = `bits${g.bitsMatrices.size}.${what}`;
    const length = sizeOf(shape) * (type === 'float' ? 4 : 1);
    return g.initializer({ location: name, offset: 0, length }, type, shape, name).name;
  };
  const hasMinima = parts.min !== undefined || parts.minCodes !== undefined || centre !== zero + shift;
  const matrix: BitsMatrix = {
    parts: Object.fromEntries(given.map(([part, { name }]) => [part, name])) as unknown as BitsMatrix['parts'],
    attrs,
    outDim,
    bits,
    block,
    blocks,
    codes: constant('bits', 'uint8', [outDim, blocks, (block * bits) / 8]),
    scales: constant('steps', 'float', [outDim, blocks]),
    minima: hasMinima ? constant('minima', 'float', [outDim, blocks]) : null,
  };
  g.bitsMatrices.set(key, matrix);
  return matrix;
};

/** Blocks as whole multiples of max|x| / 127 of each, which the operator's own rounding gives back as they are, and what is left of them. */
const digit = (g: Emitter, x: Value): readonly [whole: Value, left: Value] => {
  const column = [...x.shape.slice(0, -1), 1];
  const most = g.node('ReduceMax', [g.node('Abs', [x], x.shape), g.ints([-1])], column, { keepdims: 1 });
  const step = g.node('Max', [g.node('Mul', [most, g.scalar(Math.fround(1 / 127))], column), g.scalar(1e-30)], column);
  const codes = g.node('Round', [g.node('Div', [x, step], x.shape)], x.shape);
  const whole = g.node('Mul', [codes, step], x.shape);
  return [whole, g.node('Sub', [x, whole], x.shape)];
};

/**
 * x·Wᵀ of few rows of x by a packed W that no run changes, by ONNX Runtime's product by matrices of few bits, which reads codes as they are. It rounds x to 8 bits a block; so each row is handed over as three,
 * whose sum is x to 22 bits: what is whole in steps of the block's largest, what is whole in steps of what is left, and what is left then. Their products add up to that of floats. Null where W does not fit, or rows are many.
 */
export const byFewRows = (g: Emitter, x: Value, parts: Parts, attrs: PackedAttrs): Value | null => {
  const count = sizeOf(x.shape.slice(0, -1));
  if (count === 0 || count > fewRows) return null;
  const matrix = constantOf(g, parts, attrs);
  if (!matrix) return null;
  const { bits, block, blocks, outDim } = matrix;
  const [depth, float] = [blocks * block, 'float' as const];
  const rows = padTo(g, rowsOf(g, x), 1, depth);
  const inBlocks = g.reshape(rows, [count, 1, blocks, block]);
  const [first, rest] = digit(g, inBlocks);
  const [second, third] = digit(g, rest);
  const digits = g.reshape(g.node('Concat', [first, second, third], [count, 3, blocks, block], { axis: 1 }), [
    count,
    3,
    depth,
  ]);
  const constant = (name: string): Value => g.values.get(name)!;
  const attributes = { K: depth, N: outDim, bits, block_size: block, accuracy_level: 4 };
  const inputs = [digits, constant(matrix.codes), constant(matrix.scales)];
  const products = g.node('com.microsoft.MatMulNBits', inputs, [count, 3, outDim], attributes, float);
  // The operator makes some number of what is none; a sum does not.
  const total = g.node('ReduceSum', [g.reshape(rows, [count, 1, depth]), g.ints([-1])], [count, 1, 1], { keepdims: 1 });
  const nothing = g.node('Mul', [total, g.scalar(0)], total.shape);
  const ones = g.node('Add', [nothing, g.constant([1, 1, 1], float, [1, 1, 3])], [count, 1, 3]);
  const y = g.reshape(g.node('MatMul', [ones, products], [count, 1, outDim]), [count, outDim]);
  if (matrix.minima === null) return y;
  const sums = g.node('ReduceSum', [inBlocks, g.ints([-1])], [count, 1, blocks], { keepdims: 0 });
  const lower = g.node(
    'com.microsoft.FusedMatMul',
    [g.reshape(sums, [count, blocks]), constant(matrix.minima)],
    y.shape,
    {
      transA: 0,
      transB: 1,
      alpha: { float: 1 },
    },
  );
  return g.node('Sub', [y, lower], y.shape);
};
