import { broadcastStrides, type Shape, stridesOf } from '../shape.ts';

/** For each position of `shape` in order, where it lies under other strides. */
export const stridedIndex = (shape: Shape, strides: readonly number[]): ((i: number) => number) => {
  const own = stridesOf(shape);
  return (i) => own.reduce((at, stride, axis) => at + (Math.floor(i / stride) % shape[axis]!) * strides[axis]!, 0);
};

/** For each position of `into`, the position in an operand that broadcasts to it. */
export const broadcastIndex = (shape: Shape, into: Shape): ((i: number) => number) =>
  stridedIndex(into, broadcastStrides(shape, into));
