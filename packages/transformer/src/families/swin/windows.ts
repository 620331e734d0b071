import {
  add,
  broadcastTo,
  concat,
  constant,
  gather,
  pad,
  reshape,
  slice,
  type Tensor,
  transpose,
} from '@peftjs/tensor';
import type { Grid, SwinBlock } from './record.ts';

/** A grid filled up to whole windows. */
const filledUp = ([lines, columns]: Grid, window: number): Grid => {
  const up = (count: number): number => Math.ceil(count / window) * window;
  return [up(lines), up(columns)];
};

/** Zeros behind an axis, up to a size. */
export const filled = (x: Tensor, axis: number, size: number): Tensor => {
  const after = size - x.shape[axis]!;
  return after > 0 ? pad(x, { axis, before: 0, after }) : x;
};

/** The first of an axis. */
const cut = (x: Tensor, axis: number, size: number): Tensor =>
  x.shape[axis] === size ? x : slice(x, { axis, start: 0, end: size });

/** x with the first `by` of an axis moved behind the others. */
const rolled = (x: Tensor, axis: number, by: number): Tensor => {
  const size = x.shape[axis]!;
  return concat(slice(x, { axis, start: by, end: size }), slice(x, { axis, start: 0, end: by }), { axis });
};

/** Rows of a grid [batch, lines · columns, d] as the windows of a block lie over them: filled up with zeros to whole windows, and moved. */
export const laidOut = (x: Tensor, { grid, shift }: SwinBlock, window: number): Tensor => {
  const [batch, , d] = x.shape as readonly [number, number, number];
  const [lines, columns] = filledUp(grid, window);
  const whole = filled(filled(reshape(x, [batch, ...grid, d]), 1, lines), 2, columns);
  const moved = shift > 0 ? rolled(rolled(whole, 1, shift), 2, shift) : whole;
  return reshape(moved, [batch, lines * columns, d]);
};

/** The rows of `laidOut` where they were, without those that filled up. */
export const laidBack = (x: Tensor, { grid, shift }: SwinBlock, window: number): Tensor => {
  const [batch, , d] = x.shape as readonly [number, number, number];
  const [lines, columns] = filledUp(grid, window);
  const whole = reshape(x, [batch, lines, columns, d]);
  const moved = shift > 0 ? rolled(rolled(whole, 1, lines - shift), 2, columns - shift) : whole;
  return reshape(cut(cut(moved, 1, grid[0]), 2, grid[1]), [batch, grid[0] * grid[1], d]);
};

/** Laid-out rows [batch, rows, heads · headDim] by window and head: [batch, windows · heads, window², headDim]. */
export const intoWindows = (x: Tensor, { grid, heads }: SwinBlock, window: number): Tensor => {
  const [batch, , d] = x.shape as readonly [number, number, number];
  const [high, wide] = filledUp(grid, window).map((count) => count / window) as [number, number];
  const parts = reshape(x, [batch * high, window, wide, window, heads, d / heads]);
  return reshape(transpose(parts, [0, 2, 4, 1, 3, 5]), [batch, high * wide * heads, window * window, d / heads]);
};

/** The same back: [batch, windows · heads, window², headDim] -> [batch, rows, heads · headDim]. */
export const outOfWindows = (x: Tensor, { grid, heads }: SwinBlock, window: number): Tensor => {
  const [batch, , , headDim] = x.shape as readonly [number, number, number, number];
  const [high, wide] = filledUp(grid, window).map((count) => count / window) as [number, number];
  const parts = reshape(x, [batch * high, wide, heads, window, window, headDim]);
  const rows = high * wide * window * window;
  return reshape(transpose(parts, [0, 3, 1, 4, 2, 5]), [batch, rows, heads * headDim]);
};

/** i32 [window⁴]: the row of the table of relative positions for each query and key of a window. */
const ways = (window: number): Int32Array => {
  const all = window * window;
  return Int32Array.from({ length: all * all }, (_, i) => {
    const [query, key] = [Math.floor(i / all), i % all];
    const down = Math.floor(query / window) - Math.floor(key / window) + window - 1;
    return down * (2 * window - 1) + (query % window) - (key % window) + window - 1;
  });
};

/**
 * f32 [1, windows, 1, window², window²]: −100 between rows that lie beside each other only because the windows were moved, else 0. Of the lines there are
 * three regions, as of the columns: those before the last window, those in it that were there before, and those that came from the other edge.
 */
const apart = ({ grid, shift }: SwinBlock, window: number): Tensor => {
  const [lines, columns] = filledUp(grid, window);
  const wide = columns / window;
  const windows = (lines / window) * wide;
  const region = (at: number, size: number): number => Number(at >= size - window) + Number(at >= size - shift);
  const all = window * window;
  const regionOf = (of: number, row: number): number => {
    const line = Math.floor(of / wide) * window + Math.floor(row / window);
    return region(line, lines) * 3 + region((of % wide) * window + (row % window), columns);
  };
  const values = Float32Array.from({ length: windows * all * all }, (_, i) => {
    const of = Math.floor(i / (all * all));
    return regionOf(of, Math.floor(i / all) % all) === regionOf(of, i % all) ? 0 : -100;
  });
  return constant(values, [1, windows, 1, all, all]);
};

/**
 * Additions to the scores of all windows, [1, windows · heads, window², window²]: a number for each head and way from a patch to another, of a table
 * [(2 · window − 1)², heads], and what keeps apart what is not together. Liu and others, 2021,
 * https://arxiv.org/abs/2103.14030; transformers, `SwinRelativePositionBias` and `SwinLayer.get_attn_mask`.
 */
export const windowBias = (table: Tensor, block: SwinBlock, window: number): Tensor => {
  const { heads, grid, shift } = block;
  const all = window * window;
  const rows = gather(table, constant(ways(window), [all * all])); // [window⁴, heads]
  const own = reshape(transpose(rows, [1, 0]), [1, 1, heads, all, all]);
  const [lines, columns] = filledUp(grid, window);
  const windows = (lines * columns) / all;
  const each = shift > 0 ? add(own, apart(block, window)) : broadcastTo(own, [1, windows, heads, all, all]);
  return reshape(each, [1, windows * heads, all, all]);
};
