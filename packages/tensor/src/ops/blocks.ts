import { axisOf, type Spec, sizeOf } from '../shape.ts';

/** A tensor seen along one axis: `outer` blocks of `size` rows of `inner` values. */
export interface Blocks {
  readonly axis: number;
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** A tensor seen along one axis. Throws `bad-shape` when the axis is out of range. */
export const blocksOf = (op: string, spec: Spec, axis: number): Blocks => {
  const at = axisOf(op, axis, spec);
  return {
    axis: at,
    outer: sizeOf(spec.shape.slice(0, at)),
    size: spec.shape[at]!,
    inner: sizeOf(spec.shape.slice(at + 1)),
  };
};

/** The spec with another size along one axis. */
export const resized = ({ shape, dtype }: Spec, axis: number, size: number): Spec => ({
  shape: shape.map((d, i) => (i === axis ? size : d)),
  dtype,
});
