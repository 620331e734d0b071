import { logSoftmax, pad, reshape, slice, type Tensor } from '@peftjs/tensor';

/**
 * log σ(x) of each value of x [n]: the first of the logarithms of softmax(x, 0). Never overflows, and has its gradient at 0 too, where a comparison begins
 * whose model is its own reference.
 */
export const logSigmoid = (x: Tensor): Tensor => {
  const pairs = pad(reshape(x, [-1, 1]), { axis: 1, before: 0, after: 1 });
  return reshape(slice(logSoftmax(pairs), { axis: 1, start: 0, end: 1 }), [-1]);
};
