import type { Tensor } from '../graph.ts';
import { type Shape, sameShape } from '../shape.ts';
import { reshape } from './reshape.ts';
import { sum } from './sum.ts';

/** Sums a gradient of a broadcast shape back to the operand's own shape. */
export const unbroadcast = (dy: Tensor, shape: Shape): Tensor => {
  if (sameShape(dy.shape, shape)) return dy;
  const extra = dy.shape.length - shape.length;
  const axes = dy.shape.flatMap((d, i) => (i < extra || (shape[i - extra] === 1 && d !== 1) ? [i] : []));
  return reshape(sum(dy, { axes, keepDims: true }), shape);
};
