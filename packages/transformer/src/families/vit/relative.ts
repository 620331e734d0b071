import { concat, constant, gather, reshape, type Tensor, transpose } from '@peftjs/tensor';
import type { VitConfig } from './config.ts';

/** Patches of an edge of a square picture. */
const edgeOf = ({ picture, patch }: VitConfig): number => Math.floor(picture[1] / patch[0]);

/** Rows of a table of relative positions: one for each way from a patch to another, and three for those from, to and of the class's row. */
export const relativeRows = (config: VitConfig): number => (2 * edgeOf(config) - 1) ** 2 + 3;

/** i32 [(1 + n²)²]: the row of the table for each query and key, the class's row first. */
const rowsOfPairs = (edge: number): Int32Array => {
  const all = 1 + edge * edge;
  const wide = 2 * edge - 1;
  const ways = wide * wide;
  return Int32Array.from({ length: all * all }, (_, i) => {
    const [query, key] = [Math.floor(i / all), i % all];
    if (query === 0) return key === 0 ? ways + 2 : ways;
    if (key === 0) return ways + 1;
    const at = (row: number): [number, number] => [Math.floor((row - 1) / edge), (row - 1) % edge];
    const [[y, x], [otherY, otherX]] = [at(query), at(key)];
    return (y - otherY + edge - 1) * wide + x - otherX + edge - 1;
  });
};

/** Zeros in front of an axis, up to a size. */
const widened = (x: Tensor, axis: number, size: number): Tensor => {
  const more = size - x.shape[axis]!;
  if (more === 0) return x;
  const shape = x.shape.map((own, at) => (at === axis ? more : own));
  return concat(constant(new Float32Array(shape.reduce((a, b) => a * b)), shape), x, { axis });
};

/**
 * Additions to the scores of a picture's rows by where patches lie from each other: a number for each head and way, of a table [ways + 3, heads]: [1, heads, queries, keys]. Rows that methods
 * put in front have 0. Bao et al., 2021, https://arxiv.org/abs/2106.08254; transformers, `BeitRelativePositionBias`.
 */
export const relativePositions = (table: Tensor, config: VitConfig, queries: number, keys: number): Tensor => {
  const edge = edgeOf(config);
  const all = 1 + edge * edge;
  const rows = gather(table, constant(rowsOfPairs(edge), [all * all])); // [(1 + n²)², heads]
  const own = reshape(transpose(rows, [1, 0]), [1, config.heads, all, all]);
  return widened(widened(own, 3, keys), 2, queries);
};
