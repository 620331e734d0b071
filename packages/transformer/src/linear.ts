import { add, matmul, reshape, type Tensor, type Variable } from '@peftjs/tensor';
import { asFloats, asHalf, halfBehind } from './half.ts';
import type { Call } from './pass.ts';

/** The values of an affine map: y = x·weightᵀ + bias. */
export interface Dense {
  /** [outDim, inDim] */
  readonly weight: Tensor;
  /** [outDim] */
  readonly bias: Tensor | null;
}

/**
 * An affine map of the last axis. Plain, quantised and adapted layers all are one, so adapters stack on adapters and on
 * any quantiser without knowing it. Law: `apply(x)` equals `x·weightᵀ + bias` of `dense()`, up to rounding.
 */
export interface Linear {
  readonly inDim: number;
  readonly outDim: number;
  /**
   * [..., inDim] -> [..., outDim], by the cheapest route this layer knows. `call` tells of the pass that the layer is in: a wrapping layer hands
   * it on.
   */
  apply(x: Tensor, call: Call): Tensor;
  /** The same map as plain floats: for merging, data-driven initial values and tests. */
  dense(): Dense;
  /** A layer of this layer's storage format that holds other values. */
  encode(values: Dense): Linear;
  /** Whether a row of its output depends on other rows of x, so that they must all be given at once. Default false. */
  readonly acrossRows?: boolean;
}

/** x·weightᵀ + bias over the last axis: [..., inDim] -> [..., outDim]. */
export const affine = (x: Tensor, { weight, bias }: Dense): Tensor => {
  const [outDim, inDim] = weight.shape as readonly [number, number];
  // Leading axes are rows of one product: so the weight's gradient is one product too, not a sum over a batch of them.
  const rows = x.shape.length === 2 ? x : reshape(x, [-1, inDim]);
  const y = matmul(rows, weight, { transposeB: true });
  return reshape(bias ? add(y, bias) : y, [...x.shape.slice(0, -1), outDim]);
};

const plain = new WeakMap<Linear, Dense>();

/** A layer whose weight is kept as f16: products read it as it is stored, two bytes a value, and compute in f32. */
const halfLinear = (weight: Variable, bias: Tensor | null): Linear => {
  const linear: Linear = {
    inDim: weight.shape[1]!,
    outDim: weight.shape[0]!,
    apply: (x) => affine(x, { weight, bias }),
    dense: () => ({ weight: asFloats(weight), bias }),
    encode: (values) => halfLinear(asHalf(weight.node.name, values.weight), values.bias),
  };
  plain.set(linear, { weight, bias });
  return linear;
};

/**
 * A layer that holds its values as they are: f32, or an f16 variable as weight. Of the latter `dense()` gives the values in f32, and `encode`
 * rounds to f16 again: it throws `bad-option` for values that are computed, or beyond the range of f16.
 */
export const denseLinear = (values: Dense): Linear => {
  const half = halfBehind(values.weight);
  if (half) return halfLinear(half, values.bias);
  const linear: Linear = {
    inDim: values.weight.shape[1]!,
    outDim: values.weight.shape[0]!,
    apply: (x) => affine(x, values),
    dense: () => values,
    encode: denseLinear,
  };
  plain.set(linear, values);
  return linear;
};

/** A matrix as codes of 8 bits in two's complement: u8 [outDim, inDim], and the scale of each row, f32 [outDim, 1]. */
export interface CodedRows {
  readonly codes: Tensor;
  readonly scale: Tensor;
}

const coded = new WeakMap<Linear, CodedRows>();

/** Says that a layer is such a matrix and nothing else, and is multiplied in whole numbers: a loss that is joined with a head then reads it as it is stored. */
export const withCodedRows = (linear: Linear, rows: CodedRows): Linear => {
  coded.set(linear, rows);
  return linear;
};

/** The codes of a layer that `withCodedRows` told of; null for any other, and for one with something wrapped around it. */
export const codedRows = (linear: Linear): CodedRows | null => coded.get(linear) ?? null;

/** The values of a layer as `denseLinear` was given them, the weight f32 or f16; null for one that is stored or made in another way, or wrapped. */
export const storedValues = (linear: Linear): Dense | null => plain.get(linear) ?? null;

/** Whether a layer was made by `denseLinear` of f32 values and nothing is wrapped around it, so that it holds any values exactly. */
export const isDenseLinear = (linear: Linear): boolean => storedValues(linear)?.weight.dtype === 'f32';

/** A layer defined only by its effective values, made from those of another: `apply` is derived, the storage format stays. */
export const viaDense = (base: Linear, f: (values: Dense) => Dense): Linear => ({
  ...base,
  apply: (x) => affine(x, f(base.dense())),
  dense: () => f(base.dense()),
});
