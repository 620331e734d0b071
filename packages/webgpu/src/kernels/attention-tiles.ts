import type { Spec } from '@peftjs/tensor';
import { stridesOf } from '@peftjs/tensor/op';
import type { Binding, KernelIo } from '../kernel.ts';

/** The sizes that follow from the shapes: rows per lane, and values per row. */
export interface TileSizes {
  readonly own: number;
  readonly headDim: number;
}

/**
 * WGSL pieces of the attention kernels. A workgroup owns some rows of one side, of which a lane computes `own`, and meets the other side in
 * tiles, of which a lane takes the rows 4·tx to 4·tx + 3. Sums hold 4 values of headDim per lane and piece.
 */
export interface AttentionTiles {
  readonly own: number;
  readonly lanes: number;
  /** Rows that a workgroup owns. */
  readonly rows: number;
  /** Rows of the other side per tile. */
  readonly tileSize: number;
  /** The text before the entry point. */
  readonly declarations: string;
  /** Further parameters of the entry point. */
  readonly builtins: string;
  /** Declares `tx`, and `ty`: the first own row is `row0 + ty * own`. */
  readonly place: string;
  /** A statement for each own row, by its index. */
  eachRow(statement: (r: string) => string): string;
  /** Before `joinRow`: makes the lanes' values known to one another. */
  shareRows(value: (r: string) => string): string;
  /** Joins the values of all lanes of own row `r` into a variable. */
  joinRow(into: string, op: 'max' | 'sum', r: string, value: (r: string) => string): string;
  /** Declares `name`: for each own row the products with the lane's four rows of the tile, Σ_d x·y. */
  product(name: string, x: RowRange, y: RowRange): string;
  /** Declares sums of one value per own row and headDim. */
  declareSums(name: string): string;
  /** Multiplies the sums of own row `r` by `factor`. */
  scaleSums(name: string, r: string, factor: string): string;
  /** Adds weights · y to the sums, where a lane holds the weights of its rows and its four rows of the tile. */
  apply(name: string, weights: string, y: RowRange): string;
  /** Stores the sums as rows of an output. */
  storeSums(name: string, out: RowRange): string;
}

/** Rows of headDim values in a buffer: WGSL of the element where its head begins, the first row and the end. */
export interface RowRange {
  readonly buffer: string;
  readonly base: string;
  readonly first: string;
  readonly end: string;
}

/** Whether rows are vec4 in their buffers. */
export const whole = (headDim: number): boolean => headDim % 4 === 0;

/** Binds rows of headDim values: as vec4 where they divide by four. */
export const rowsBinding = (buffer: string, access: Binding['access'], headDim: number): Binding => ({
  buffer,
  access,
  element: whole(headDim) ? 'vec4<f32>' : 'f32',
});

/** Stores `value`, the four of a row from `d` on, at element `at`. */
export const storeFour = (buffer: string, headDim: number): string =>
  whole(headDim)
    ? `${buffer}[at / 4u] = value;`
    : `${buffer}[at] = value.x;
      ${[1, 2, 3].map((c) => `if (d + ${c}u < ${headDim}u) { ${buffer}[at + ${c}u] = value[${c}]; }`).join('\n      ')}`;

/** Rows of a buffer [batch, heads, queries, headDim], of the head `head` counted over batches, in batch `b`. */
export const queryRows = (buffer: string, first: string): RowRange => ({
  buffer,
  base: `b * p.${buffer}_batch + (head % p.heads) * p.${buffer}_head`,
  first,
  end: 'p.queries',
});

/** Rows of a buffer [batch, groups, keys, headDim], of the head `keyGroup` in batch `b`. */
export const keyRows = (buffer: string, first: string): RowRange => ({
  buffer,
  base: `b * p.${buffer}_batch + keyGroup * p.${buffer}_head`,
  first,
  end: 'p.keys',
});

/** The parameters by which rows of a buffer are found, however its outer axes lie. */
export const rowParams = (buffer: string, spec: Spec, { strides }: KernelIo<string>): Record<string, number> => {
  const [batch, head, row] = strides?.[buffer] ?? stridesOf(spec.shape);
  return { [`${buffer}_batch`]: batch!, [`${buffer}_head`]: head!, [`${buffer}_row`]: row! };
};
