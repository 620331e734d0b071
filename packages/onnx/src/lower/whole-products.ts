import type { Emitter, Value } from './emitter.ts';
import { rows as rowsOf } from './matmul.ts';

/** Rows as whole numbers, and the step of each row. */
interface Rounded {
  /** uint8 [rows, width]: the whole number + 128. */
  readonly codes: Value;
  /** float [rows, 1] */
  readonly step: Value;
}

/** The operator of ONNX Runtime that multiplies uint8 by int8 and scales the sums. */
export const wholeProductType = 'MatMulIntegerToFloat';

/** The whole number that stands for 0 in `Rounded`. */
const zero = 128;

/** q = round(x / r), r = max|x| / 127 of the row; r is no number where one of the row is not finite. */
const roundRows = (g: Emitter, x: Value): Rounded => {
  const column = [x.shape[0]!, 1];
  const reduced = (type: string): Value => g.node(type, [x, g.ints([1])], column, { keepdims: 1 });
  const ends = [reduced('ReduceMax'), g.node('Neg', [reduced('ReduceMin')], column)];
  const most = g.node('Max', [...ends, g.scalar(1e-30)], column);
  const plain = g.node('Mul', [most, g.scalar(Math.fround(1 / 127))], column);
  // Largest and least pass over what is no number; a sum does not.
  const step = g.node('Add', [plain, g.node('Mul', [reduced('ReduceSum'), g.scalar(0)], column)], column);
  const scaled = g.node('Mul', [x, g.node('Reciprocal', [plain], column)], x.shape);
  const codes = g.node('QuantizeLinear', [scaled, g.scalar(1), g.constant([zero], 'uint8', [])], x.shape, {}, 'uint8');
  return { codes, step };
};

/** x less what its whole numbers stand for. */
const left = (g: Emitter, x: Value, { codes, step }: Rounded): Value => {
  const whole = g.node('DequantizeLinear', [codes, g.scalar(1), g.constant([zero], 'uint8', [])], x.shape, {}, 'float');
  return g.node('Sub', [x, g.node('Mul', [whole, step], x.shape)], x.shape);
};

/** A packed matrix of whole numbers. */
export interface WholeMatrix {
  /** int8 [outDim, inDim], or uint8: two's complement. There when x is. */
  readonly codes: Value;
  /** float [outDim, 1] */
  readonly scale: Value;
}

/**
 * x·Wᵀ, or x·W where `transposed`, with rows of x rounded to whole numbers: see `matmulQuantized`. The one copy of the codes is turned for the first, when x is there, so that no copy
 * waits for its use. Of two digits what rounding leaves of x is rounded and multiplied too: 15 bits of each row.
 */
export const wholeProduct = (
  g: Emitter,
  x: Value,
  { codes, scale }: WholeMatrix,
  transposed: boolean,
  digits: 1 | 2 = 1,
): Value => {
  const rows = rowsOf(g, x);
  const [outDim, inDim] = codes.shape as readonly [number, number];
  const factors = g.reshape(scale, [outDim]);
  const signed = g.cast(transposed ? codes : g.transpose(codes, [1, 0]), 'int8');
  const folded = transposed ? g.node('Mul', [rows, g.reshape(scale, [1, outDim])], rows.shape) : rows;
  const shape = [rows.shape[0]!, transposed ? inDim : outDim];
  const productOf = ({ codes: q, step }: Rounded): Value => {
    const product = g.node(
      `com.microsoft.${wholeProductType}`,
      [q, signed, g.scalar(1), transposed ? g.scalar(1) : factors, g.constant([zero], 'uint8', [])],
      shape,
      {},
      'float',
    );
    return g.node('Mul', [product, step], shape);
  };
  const first = roundRows(g, folded);
  if (digits === 1) return productOf(first);
  return g.node('Add', [productOf(first), productOf(roundRows(g, left(g, folded, first)))], shape);
};
