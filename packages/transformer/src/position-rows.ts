import {
  add,
  broadcastTo,
  concat,
  constant,
  describe,
  gather,
  mul,
  PeftError,
  reshape,
  sameShape,
  type Tensor,
} from '@peftjs/tensor';

/** `count` rows of a table of positions, from `start` on: [count, D]. */
export type RowsOf = (start: number, count: number) => Tensor;

/** Where the rows of a pass stand. */
export interface Places {
  readonly batch: number;
  readonly tokens: number;
  /** Rows in front of the tokens, which take the first positions. */
  readonly prepended: number;
  /** Added to every position. */
  readonly shift: number;
  /** i32 [batch]: the sequences whose tokens come after `prepended` and `shift`; those of the others start at 0. Null for all. */
  readonly present: Tensor | null;
  /** i32 [tokens] or [batch, tokens]; null for 0, 1, 2, … */
  readonly positions: Tensor | null;
  /** All given positions are below it; null for what the model and the table have. */
  readonly limit: number | null;
  readonly maxPositions: number;
  /** Whether the rows in front are in a cache already, and only the tokens' rows are wanted. */
  readonly continues: boolean;
}

/**
 * A row of a table for each row of a pass, by its position: rows in front at 0 … prepended − 1, the tokens after them, all moved by `shift`.
 * [rows, D], or [batch, rows, D] where positions are given per sequence. Throws `bad-shape`; `bad-option` where the table has fewer than
 * are needed.
 */
export const positionRows = (
  rowsOf: RowsOf,
  available: number,
  { batch, tokens, prepended, shift, present, positions: given, limit, maxPositions, continues }: Places,
): Tensor => {
  const start = shift + prepended;
  const apart = present !== null && start > 0;
  const positions =
    given ??
    (apart
      ? constant(
          Int32Array.from({ length: tokens }, (_, t) => t),
          [tokens],
        )
      : null);
  const count = given ? (limit ?? Math.max(1, Math.min(maxPositions, available - start))) : tokens;
  if (start + count > available)
    throw new PeftError(
      'bad-option',
      `model: ${count} positions of tokens after ${start} that come before them are asked for, it has learned ${available} in all; give fewer tokens or a smaller positionLimit`,
    );
  if (!positions) return rowsOf(shift, prepended + count);
  const shared = sameShape(positions.shape, [tokens]);
  if (positions.dtype !== 'i32' || !(shared || sameShape(positions.shape, [batch, tokens])))
    throw new PeftError(
      'bad-shape',
      `positions: got ${describe(positions)}; they must be i32 [${tokens}] or [${batch}, ${tokens}]`,
    );
  // The table starts where token 0 stands, so that positions are looked up as they are; or at 0, where token 0 may stand at either place.
  const own = apart
    ? gather(
        rowsOf(0, start + count),
        add(positions, reshape(mul(present, constant(Int32Array.of(start), [])), [batch, 1])),
      )
    : gather(rowsOf(start, count), positions);
  if (prepended === 0 || continues) return own;
  const front = rowsOf(shift, prepended);
  const together = shared && !apart;
  return concat(together ? front : broadcastTo(front, [batch, ...front.shape]), own, { axis: together ? 0 : 1 });
};
