import type { DType } from './dtype.ts';
import { PeftError } from './error.ts';

/** Sizes by axis, outermost first; row-major. `[]` is a scalar. */
export type Shape = readonly number[];

/** The shape and type of a tensor, known before any value is. */
export interface Spec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Number of elements. */
export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

/** Row-major strides, in elements. */
export const stridesOf = (shape: Shape): number[] => {
  const strides: number[] = Array.from(shape, () => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
};

/** `3x4 f32`, for messages. */
export const describe = ({ shape, dtype }: Spec): string => `${shape.length > 0 ? shape.join('x') : 'scalar'} ${dtype}`;

/** Whether two shapes are the same. */
export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

/** An error of shapes: who, what was got, what to do. */
export const shapeError = (op: string, specs: readonly Spec[], remedy: string): PeftError =>
  new PeftError('bad-shape', `${op}: got ${specs.map(describe).join(', ')}; ${remedy}`);

/** The axis counted from the front; negative counts from the back. Throws `bad-shape` when out of range. */
export const axisOf = (op: string, axis: number, spec: Spec): number => {
  const rank = spec.shape.length;
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || at < 0 || at >= rank)
    throw shapeError(op, [spec], `axis ${axis} must be in [-${rank}, ${rank})`);
  return at;
};

/** The common shape of operands under numpy's rule: equal sizes, or 1. Throws `bad-shape`. */
export const broadcastShapes = (op: string, specs: readonly Spec[]): Shape => {
  const rank = Math.max(...specs.map(({ shape }) => shape.length));
  return Array.from({ length: rank }, (_, i) => {
    let size = 1;
    for (const { shape } of specs) {
      const d = shape[shape.length - rank + i] ?? 1;
      if (d === 1 || d === size) continue;
      if (size !== 1) throw shapeError(op, specs, 'sizes must be equal or 1, counted from the last axis');
      size = d;
    }
    return size;
  });
};

/** Strides that walk `shape` as if it had the (broadcast) shape `into`: 0 where it repeats. */
export const broadcastStrides = (shape: Shape, into: Shape): number[] => {
  const strides = stridesOf(shape);
  const extra = into.length - shape.length;
  return into.map((_, i) => (i < extra || shape[i - extra] === 1 ? 0 : strides[i - extra]!));
};
