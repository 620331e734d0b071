import type { PickleTensor } from './pickle.ts';

type View = Pick<PickleTensor, 'offset' | 'shape' | 'strides'>;

/** Number of elements. Above 2^53 it is rounded. */
export const sizeOf = ({ shape }: View): number => (shape.includes(0) ? 0 : shape.reduce((a, b) => a * b, 1));

/** Place of the last element in the storage; -1 where there is none. */
export const lastOf = (view: View): number =>
  sizeOf(view) === 0 ? -1 : view.shape.reduce((last, size, i) => last + (size - 1) * view.strides[i]!, view.offset);

/** Whether the elements lie in the storage one after the other, in order. */
export const isContiguous = ({ shape, strides }: View): boolean => {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
};

/** Copies elements of some bytes each, in order, from where the strides say; `from` begins at the first. */
export const gather = ({ shape, strides }: View, from: Uint8Array, to: Uint8Array, bytes: number): void => {
  const index = new Array<number>(shape.length).fill(0);
  let place = 0;
  for (let at = 0; at < to.length; at += bytes) {
    for (let b = 0; b < bytes; b++) to[at + b] = from[place * bytes + b]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      place -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
};
