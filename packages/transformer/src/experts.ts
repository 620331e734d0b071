import { add, expertMatmul, gather, type Tensor } from '@peftjs/tensor';
import { asFloats, halfBehind } from './half.ts';
import type { Call } from './pass.ts';

/**
 * Matrices of experts, of which each row goes through one: yₙ = Wₑ·xₙ + bₑ with e = index[n]. Law: `apply(x, index)` equals that of `dense()`, up to
 * rounding.
 */
export interface Experts {
  /** How many there are. */
  readonly count: number;
  readonly inDim: number;
  readonly outDim: number;
  /** x [rows, inDim] and the expert of each row, i32 [rows], give [rows, outDim]. `call` tells of the pass. */
  apply(x: Tensor, index: Tensor, call: Call): Tensor;
  /** The matrices as plain floats: [count, outDim, inDim]. */
  dense(): Tensor;
  /** Biases: [count, outDim]; null for none. */
  readonly bias: Tensor | null;
  /** Experts of this storage format that hold other matrices, and the same biases. */
  encode(weight: Tensor): Experts;
}

/** Experts that hold their matrices [count, outDim, inDim] as they are: f32, or an f16 variable, of which `dense` gives the values in f32. */
export const denseExperts = (weight: Tensor, bias: Tensor | null = null): Experts => {
  const [count, outDim, inDim] = weight.shape as readonly [number, number, number];
  return {
    count,
    inDim,
    outDim,
    bias,
    apply: (x, index) => {
      const y = expertMatmul(x, halfBehind(weight) ?? weight, index);
      return bias ? add(y, gather(bias, index)) : y;
    },
    dense: () => asFloats(weight),
    encode: (values) => denseExperts(values, bias),
  };
};
