import type { Emitter, Value } from './emitter.ts';
import { rows as rowsOf } from './matmul.ts';

/** The operator of ONNX Runtime that multiplies uint8 by int8 and scales the sums. */
export const wholeProductType = 'MatMulIntegerToFloat';

/** The whole number that stands for 0 in `Rounded`. */
const zero = 128;

/** The step of a row whose largest magnitude is 1. */
const unit = Math.fround(1 / 127);

/** Rows over their largest magnitudes, so that all lie in [−1, 1], and these: float [rows, 1], no number where one of the row is not finite. */
const overLargest = (g: Emitter, x: Value): { readonly scaled: Value; readonly most: Value } => {
  const column = [x.shape[0]!, 1];
  const reduced = (type: string): Value => g.node(type, [x, g.ints([1])], column, { keepdims: 1 });
  const ends = [reduced('ReduceMax'), g.node('Neg', [reduced('ReduceMin')], column)];
  const plain = g.node('Max', [...ends, g.scalar(1e-30)], column);
  // Largest and least pass over what is no number; a sum does not, nor 0 times a sum.
  const most = g.node('Gemm', [reduced('ReduceSum'), g.constant([0], 'float', [1, 1]), plain], column);
  return { scaled: g.node('Mul', [x, g.node('Reciprocal', [plain], column)], x.shape), most };
};

/** Whole numbers, uint8 with 128 for 0, and the step between them. */
interface Digit {
  readonly codes: Value;
  readonly step: number;
}

/** Values in [−1, 1] as whole numbers of so many digits: each rounds to steps of 1/127 of the most that the one before leaves, half a step of its own. */
const digitsOf = (g: Emitter, scaled: Value, count: number): readonly Digit[] => {
  const offset = g.constant([zero], 'uint8', []);
  const digits: Digit[] = [];
  let [left, step] = [scaled, unit];
  for (;;) {
    const codes = g.node('QuantizeLinear', [left, g.scalar(step), offset], left.shape, {}, 'uint8');
    digits.push({ codes, step });
    if (digits.length === count) return digits;
    const told = g.node('DequantizeLinear', [codes, g.scalar(step), offset], left.shape, {}, 'float');
    left = g.node('Sub', [left, told], left.shape);
    step = Math.fround(step / 254);
  }
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
  const { scaled, most } = overLargest(g, folded);
  const [first, ...others] = digitsOf(g, scaled, digits) as [Digit, ...Digit[]];
  const signed = transposed ? g.cast(codes, 'int8') : turn(codes);
  const productOf = ({ codes: q, step }: Digit): Value =>
    g.node(
      `com.microsoft.${wholeProductType}`,
      [q, signed, g.scalar(step), transposed ? g.scalar(1) : factors, g.constant([zero], 'uint8', [])],
      shape,
      {},
      'float',
    );
  const sum = others.reduce((so, digit) => g.node('Add', [so, productOf(digit)], shape), productOf(first));
  return g.node('Mul', [sum, most], shape);
};
