import { add, reshape, scatterAdd, sparseMatmul, type Tensor } from '@peftjs/tensor';
import type { Linear } from '@peftjs/transformer';

/**
 * A layer with values added to some entries of its weight: y = (W + S)·x + b. `places` are those entries' numbers, row · in + column, each once. Nothing of shape
 * [out, in] is formed in a training step.
 */
export const addSparse = (base: Linear, values: Tensor, places: Tensor): Linear => {
  const { inDim, outDim } = base;
  return {
    ...base,
    apply: (x, call) => {
      const y = sparseMatmul(reshape(x, [-1, inDim]), values, places, { outDim, inDim });
      return add(base.apply(x, call), reshape(y, [...x.shape.slice(0, -1), outDim]));
    },
    dense: () => {
      const { weight, bias } = base.dense();
      const sparse = scatterAdd(values, places, { rows: outDim * inDim });
      return { weight: add(weight, reshape(sparse, [outDim, inDim])), bias };
    },
  };
};
