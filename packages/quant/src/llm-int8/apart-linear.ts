import { add, matmul, mul, reshape, type Tensor, variable } from '@peftjs/tensor';
import { affine, type Dense, type Linear } from '@peftjs/transformer';
import { hostFloats } from '../host-floats.ts';

/** The columns of a matrix [rows, inDim] that are named, and the matrix with zeros in their place. */
const splitColumns = (
  values: Float32Array,
  inDim: number,
  columns: readonly number[],
): { readonly apart: Float32Array; readonly rest: Float32Array } => {
  const rest = values.slice();
  const apart = new Float32Array((values.length / inDim) * columns.length);
  for (let row = 0; row * inDim < values.length; row++)
    for (const [k, column] of columns.entries()) {
      apart[row * columns.length + k] = values[row * inDim + column]!;
      rest[row * inDim + column] = 0;
    }
  return { apart, rest };
};

/** Columns of a width, and what takes them out of inputs: layers that see the same inputs share it, so that these are rounded once. */
export interface Apart {
  readonly columns: readonly number[];
  /** f32 [inDim, columns]: 1 where a column is the k-th. */
  readonly chosen: Tensor;
  /** f32 [inDim]: 0 at the columns, 1 elsewhere. */
  readonly kept: Tensor;
}

/** The columns, ready to be taken. */
export const apartOf = (name: string, inDim: number, columns: readonly number[]): Apart => {
  const chosen = new Float32Array(inDim * columns.length);
  const kept = new Float32Array(inDim).fill(1);
  for (const [k, column] of columns.entries()) {
    chosen[column * columns.length + k] = 1;
    kept[column] = 0;
  }
  return {
    columns,
    chosen: variable(`${name}.chosen`, [inDim, columns.length], chosen),
    kept: variable(`${name}.kept`, [inDim], kept),
  };
};

/**
 * A layer of which some columns are floats, apart from the others, which `make` stores: y = base(x with zeros there) + x[columns]·Wᵀ of them. Columns are taken by a product with a matrix of 0 and 1, whose
 * gradient is one too.
 */
export const apartLinear = (
  name: string,
  { weight, bias }: Dense,
  taking: Apart,
  make: (name: string, values: Dense) => Linear,
): Linear => {
  const { columns, chosen, kept } = taking;
  const [outDim, inDim] = weight.shape as readonly [number, number];
  const load = hostFloats('encode', name, weight);
  const part = (which: 'apart' | 'rest', width: number): Tensor =>
    variable(`${name}.${which}`, [outDim, width], async () => splitColumns(await load(), inDim, columns)[which]);
  const [apart, rest] = [part('apart', columns.length), part('rest', inDim)];
  const base = make(name, { weight: rest, bias });
  return {
    inDim,
    outDim,
    apply: (x, call) => {
      // Of another width it goes on as it is: `base` tells of it.
      if (x.shape.at(-1) !== inDim) return base.apply(x, call);
      const rows = reshape(x, [-1, inDim]);
      const floats = affine(matmul(rows, chosen), { weight: apart, bias: null });
      return reshape(add(base.apply(mul(rows, kept), call), floats), [...x.shape.slice(0, -1), outDim]);
    },
    dense: () => {
      const values = base.dense();
      return { ...values, weight: add(values.weight, matmul(apart, chosen, { transposeB: true })) };
    },
    encode: (values) => apartLinear(name, values, taking, make),
  };
};
