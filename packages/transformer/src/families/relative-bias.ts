import { constant, gather, reshape, sub, type Tensor, transpose } from '@peftjs/tensor';
import { placesByDistance } from './places-by-distance.ts';

/** The sizes of a bias by relative position. */
export interface RelativeBias {
  readonly heads: number;
  /** Rows of the table: the distances that are told apart. */
  readonly buckets: number;
  /** The distance beyond which all are taken as one. */
  readonly maxDistance: number;
}

/**
 * The bucket of a key `distance` rows after a query: exact for small distances, growing with their logarithm up to `maxDistance`. Where all
 * is seen, half of the buckets are for keys after the query; else those have the bucket of distance 0. In f32, as the reference rounds there.
 * Raffel et al., 2019, https://arxiv.org/abs/1910.10683; transformers, `T5Attention._relative_position_bucket`.
 */
const bucketOf = (
  distance: number,
  { buckets, maxDistance }: Pick<RelativeBias, 'buckets' | 'maxDistance'>,
  both: boolean,
): number => {
  const size = both ? Math.floor(buckets / 2) : buckets;
  const first = both && distance > 0 ? size : 0;
  const far = both ? Math.abs(distance) : Math.max(0, -distance);
  const exact = Math.floor(size / 2);
  if (far < exact) return first + far;
  const { fround } = Math;
  const share = fround(fround(Math.log(fround(far / exact))) / fround(Math.log(maxDistance / exact)));
  return first + Math.min(size - 1, exact + Math.trunc(fround(share * (size - exact))));
};

/** By distance: a row of the table for each that keys may be from a query, of which the pass takes those that it has. */
const movedBias = (
  table: Tensor,
  config: RelativeBias,
  both: boolean,
  queries: number,
  keys: number,
  first: Tensor,
): Tensor => {
  const buckets = Int32Array.from({ length: 2 * keys - 1 }, (_, i) => bucketOf(i - (keys - 1), config, both));
  const byDistance = gather(table, constant(buckets, [2 * keys - 1])); // [2·keys − 1, heads]
  const apart = constant(
    Int32Array.from({ length: queries * keys }, (_, i) => (i % keys) - Math.floor(i / keys) + keys - 1),
    [queries * keys],
  );
  const rows = gather(byDistance, sub(apart, first)); // [queries·keys, heads]
  return reshape(transpose(rows, [1, 0]), [1, config.heads, queries, keys]);
};

/**
 * Additions to scores by relative position: a number for each head and bucket, of a table [buckets, heads], for `queries` of so many keys:
 * [1, heads, queries, keys]. `first` i32 []: the first query's row among the keys; null where theirs are the last.
 */
export const relativeBias = (
  table: Tensor,
  config: RelativeBias,
  both: boolean,
  queries: number,
  keys: number,
  first: Tensor | null,
): Tensor => {
  if (first) return movedBias(table, config, both, queries, keys, first);
  const most = Math.min(config.maxDistance, Math.max(queries, keys));
  const buckets = Int32Array.from({ length: 2 * most + 1 }, (_, i) => bucketOf(i - most, config, both));
  const byDistance = gather(table, constant(buckets, [2 * most + 1]));
  const rows = gather(byDistance, placesByDistance(queries, keys, most)); // [queries·keys, heads]
  return reshape(transpose(rows, [1, 0]), [1, config.heads, queries, keys]);
};
