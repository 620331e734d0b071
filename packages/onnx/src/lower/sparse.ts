import { type SparseAttrs, type SparseMatmulAttrs, sizeOf } from '@peftjs/tensor';
import type { Emitter, Value } from './emitter.ts';
import { clamp, keepWhere } from './index-ops.ts';
import { product } from './matmul.ts';
import type { Rule } from './rule.ts';
import { range } from './shape.ts';

/** Row and column of places in a matrix of that width, int64. */
const split = (g: Emitter, places: Value, width: number): { readonly row: Value; readonly column: Value } => {
  const size = g.scalar(width, 'int64');
  return {
    row: g.node('Div', [places, size], places.shape),
    column: g.node('Mod', [places, size], places.shape),
  };
};

/**
 * ONNX Runtime has no product with a sparse matrix that is only known when it runs, and its dense one is faster than gathering columns. So
 * the matrix is made for the one product; in the other pass it is made again, transposed, rather than kept. Entries outside go to a place
 * behind the last, which is cut off.
 */
export const sparse_matmul: Rule<'x' | 'values' | 'index', SparseMatmulAttrs> = (
  { g, x, values, index, out },
  { outDim, inDim, transpose = false },
) => {
  const count = sizeOf(index.shape);
  if (count === 0 || sizeOf(out.shape) === 0) return g.zeros(out);
  const size = outDim * inDim;
  const { valid, safe } = clamp(g, index, size);
  const { row, column } = split(g, safe, inDim);
  const turned = (): Value =>
    g.node('Add', [g.node('Mul', [column, g.scalar(outDim, 'int64')], [count]), row], [count]);
  const places = g.where(valid, transpose ? safe : turned(), g.scalar(size, 'int64'), [count]);
  const empty = g.zeros({ shape: [size + 1], dtype: 'f32' });
  const filled = g.node('ScatterND', [empty, g.reshape(places, [count, 1]), values], [size + 1]);
  const kept = range(g, filled, 0, 0, size);
  return product(g, x, g.reshape(kept, transpose ? [outDim, inDim] : [inDim, outDim]));
};

/** Values of either side that are gathered at a time, at least; and in how many parts, at most. */
const leastValues = 2 ** 20;
const mostParts = 64;

/** Columns of both sides are gathered as rows of their transposes, multiplied and summed, in parts. */
export const sampled_matmul: Rule<'a' | 'b' | 'index', SparseAttrs> = ({ g, a, b, index, out }, { outDim, inDim }) => {
  const [rows, count] = [a.shape[0]!, sizeOf(index.shape)];
  if (rows * count === 0) return g.zeros(out);
  const { valid, safe } = clamp(g, index, outDim * inDim);
  const { row, column } = split(g, safe, inDim);
  const [left, right] = [a, b].map((side) => g.transpose(side, [1, 0])) as [Value, Value];
  const size = Math.max(Math.ceil(leastValues / rows), Math.ceil(count / mostParts));
  const parts: Value[] = [];
  for (let from = 0; from < count; from += size) {
    const n = Math.min(size, count - from);
    const columns = (side: Value, places: Value): Value =>
      g.node('Gather', [side, range(g, places, 0, from, from + n)], [n, rows], { axis: 0 });
    const products = g.node('Mul', [columns(left, row), columns(right, column)], [n, rows]);
    parts.push(g.node('ReduceSum', [products, g.ints([1])], [n], { keepdims: 0 }));
  }
  return keepWhere(g, valid, parts.length === 1 ? parts[0]! : g.node('Concat', parts, [count], { axis: 0 }));
};
