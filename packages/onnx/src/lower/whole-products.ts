import type { Emitter, Value } from './emitter.ts';
import { rows as rowsOf } from './matmul.ts';

/** Rows as whole numbers, and the largest magnitude of each row, which 127 steps reach. */
interface Rounded {
  /** uint8 [rows, width]: the whole number + 128. */
  readonly codes: Value;
  /** float [rows, 1] */
  readonly most: Value;
}

/** The operator of ONNX Runtime that multiplies uint8 by int8 and scales the sums. */
export const wholeProductType = 'MatMulIntegerToFloat';

/** The whole number that stands for 0 in `Rounded`. */
const zero = 128;

/** The step of a row whose largest magnitude is 1. */
const unit = Math.fround(1 / 127);

/** q = round(x / r), r = max|x| / 127 of the row; the largest magnitude is no number where one of the row is not finite. */
const roundRows = (g: Emitter, x: Value): Rounded => {
  const column = [x.shape[0]!, 1];
  const reduced = (type: string): Value => g.node(type, [x, g.ints([1])], column, { keepdims: 1 });
  const ends = [reduced('ReduceMax'), g.node('Neg', [reduced('ReduceMin')], column)];
  const plain = g.node('Max', [...ends, g.scalar(1e-30)], column);
  // Largest and least pass over what is no number; a sum does not, nor 0 times a sum.
  const most = g.node('Gemm', [reduced('ReduceSum'), g.constant([0], 'float', [1, 1]), plain], column);
  const scaled = g.node('Mul', [x, g.node('Reciprocal', [plain], column)], x.shape);
  const codes = g.node(
    'QuantizeLinear',
    [scaled, g.scalar(unit), g.constant([zero], 'uint8', [])],
    x.shape,
    {},
    'uint8',
  );
  return { codes, most };
};

/** x less what its whole numbers stand for. */
const left = (g: Emitter, x: Value, { codes, most }: Rounded): Value => {
  const share = g.node(
    'DequantizeLinear',
    [codes, g.scalar(unit), g.constant([zero], 'uint8', [])],
    x.shape,
    {},
    'float',
  );
  return g.node('Sub', [x, g.node('Mul', [share, most], x.shape)], x.shape);
};

/** A packed matrix of whole numbers. */
export interface WholeMatrix {
  /** int8 [outDim, inDim], or uint8: two's complement. */
  readonly codes: Value;
  /** float [outDim, 1] */
  readonly scale: Value;
}

/** How a product by whole numbers is made. */
export interface WholeOptions {
  /** x·W instead of x·Wᵀ. Default false. */
  readonly transposed?: boolean;
  /** Of two digits what rounding leaves of x is rounded and multiplied too, and of three what is left then: 15 and 23 bits of each row. Default one. */
  readonly digits?: 1 | 2 | 3;
  /** Makes int8 [inDim, outDim] of the codes, when x has been rounded. Default: a copy for this product alone. */
  readonly turn?: (codes: Value) => Value;
}

const turned = (g: Emitter, codes: Value): Value =>
  g.cast(g.copy('Transpose', [codes], codes.shape.toReversed(), { perm: [1, 0] }), 'int8');

/** x·Wᵀ, or x·W where `transposed`, with rows of x rounded to whole numbers: see `matmulQuantized`. */
export const wholeProduct = (
  g: Emitter,
  x: Value,
  { codes, scale }: WholeMatrix,
  { transposed = false, digits = 1, turn = (c) => turned(g, c) }: WholeOptions = {},
): Value => {
  const rows = rowsOf(g, x);
  const [outDim, inDim] = codes.shape as readonly [number, number];
  const factors = g.reshape(scale, [outDim]);
  const folded = transposed ? g.node('Mul', [rows, factors], rows.shape) : rows;
  const shape = [rows.shape[0]!, transposed ? inDim : outDim];
  const digitsOf = (value: Value, count: number): readonly Rounded[] => {
    const digit = roundRows(g, value);
    return count === 1 ? [digit] : [digit, ...digitsOf(left(g, value, digit), count - 1)];
  };
  const [first, ...others] = digitsOf(folded, digits) as [Rounded, ...Rounded[]];
  const signed = transposed ? g.cast(codes, 'int8') : turn(codes);
  const productOf = ({ codes: q, most }: Rounded): Value => {
    const product = g.node(
      `com.microsoft.${wholeProductType}`,
      [q, signed, g.scalar(unit), transposed ? g.scalar(1) : factors, g.constant([zero], 'uint8', [])],
      shape,
      {},
      'float',
    );
    return g.node('Mul', [product, most], shape);
  };
  return others.reduce((sum, digit) => g.node('Add', [sum, productOf(digit)], shape), productOf(first));
};
