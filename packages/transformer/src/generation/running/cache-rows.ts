import { sizeOf, type Variable, variable } from '@peftjs/tensor';
import type { Path } from '../../sites.ts';
import type { KvSizes } from './kv-sizes.ts';

/** Keys and values of several texts: for each attention two variables [rows, heads, slots, headDim]. */
export interface CacheRows {
  readonly rows: number;
  readonly slots: number;
  readonly heads: number;
  readonly paths: readonly Path[];
  of(path: Path): { readonly k: Variable; readonly v: Variable };
  /** All of its variables. */
  variables(): readonly Variable[];
}

/** Makes a cache of zeros; an executor allocates it when a program first uses it. */
export const cacheRows = (name: string, { heads, headDims }: KvSizes, rows: number, slots: number): CacheRows => {
  const made = new Map(
    [...headDims].map(([path, dim]) => {
      const zeros = (what: string): Variable => {
        const shape = [rows, heads, slots, dim];
        return variable(`${path}.${name}_${what}`, shape, () => new Float32Array(sizeOf(shape)));
      };
      return [path, { k: zeros('keys'), v: zeros('values') }] as const;
    }),
  );
  return {
    rows,
    slots,
    heads,
    paths: [...headDims.keys()],
    of: (path) => made.get(path)!,
    variables: () => [...made.values()].flatMap(({ k, v }) => [k, v]),
  };
};

/** A piece of a row: so many slots from one on. */
export interface Span {
  /** The place of the cache in the list of those that are read. */
  readonly cache: number;
  readonly row: number;
  readonly start: number;
  readonly count: number;
  /** The slot that its first comes to. */
  readonly to: number;
}

/**
 * Where each slot of new rows comes from, among the slots of all heads of all rows of several caches in a row: i32 [rows, heads, slots], −1 where nothing
 * does, which a gather fills with zeros.
 */
export const placesOf = (
  from: readonly Pick<CacheRows, 'rows' | 'slots' | 'heads'>[],
  to: Pick<CacheRows, 'rows' | 'slots' | 'heads'>,
  spans: readonly (Span | null)[],
): Int32Array => {
  const places = new Int32Array(to.rows * to.heads * to.slots).fill(-1);
  const firsts = from.map((_, i) =>
    from.slice(0, i).reduce((n, { rows, slots, heads }) => n + rows * slots * heads, 0),
  );
  for (const [row, span] of spans.entries()) {
    if (!span) continue;
    const source = from[span.cache]!;
    for (let head = 0; head < to.heads; head++) {
      const first = firsts[span.cache]! + (span.row * source.heads + head) * source.slots + span.start;
      const at = (row * to.heads + head) * to.slots + span.to;
      for (let i = 0; i < span.count; i++) places[at + i] = first + i;
    }
  }
  return places;
};
