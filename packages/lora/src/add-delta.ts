import { add, type Tensor } from '@peftjs/tensor';
import type { Call, Linear } from '@peftjs/transformer';

/** ΔW of shape [outDim, inDim], told twice: cheaply applied, and whole. */
export interface Delta {
  /** x·ΔWᵀ: [..., inDim] -> [..., outDim] */
  apply(x: Tensor, call: Call): Tensor;
  /** [outDim, inDim] */
  dense(): Tensor;
}

/** The layer y = Wx + b + ΔW·x. */
export const addDelta = (base: Linear, delta: Delta): Linear => ({
  ...base,
  apply: (x, call) => add(base.apply(x, call), delta.apply(x, call)),
  dense: () => {
    const { weight, bias } = base.dense();
    return { weight: add(weight, delta.dense()), bias };
  },
});
