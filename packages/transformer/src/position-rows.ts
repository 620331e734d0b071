import {
  add,
  broadcastTo,
  cast,
  concat,
  constant,
  describe,
  equal,
  gather,
  greater,
  greaterEqual,
  matmul,
  mul,
  PeftError,
  reshape,
  sameShape,
  slice,
  sub,
  type Tensor,
} from '@peftjs/tensor';

/**
 * `count` rows of a table of positions, from `start` on: [count, D]. `all`: the positions of the whole pass; null where it is not known, since positions are
 * given, as those of a cache or of several texts in a row are.
 */
export type RowsOf = (start: number, count: number, all: number | null) => Tensor;

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
  /** f32 [batch, tokens], above ½ for what is not hidden; it may go on with slots of a cache that come later. Null where nothing is. */
  readonly mask: Tensor | null;
  /** i32 [tokens] or [batch, tokens]; null for 0, 1, 2, … */
  readonly positions: Tensor | null;
  /** All given positions are below it; null for what the model and the table have. */
  readonly limit: number | null;
  readonly maxPositions: number;
  /** Whether the rows in front are in a cache already, and only the tokens' rows are wanted. */
  readonly continues: boolean;
}

/** Throws `bad-option` where a table has not as many positions as are asked for. */
const requirePositions = (start: number, count: number, available: number): void => {
  if (start + count <= available) return;
  throw new PeftError(
    'bad-option',
    `model: ${count} positions of tokens after ${start} that come before them are asked for, it has learned ${available} in all; give fewer tokens or a smaller positionLimit`,
  );
};

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
  requirePositions(start, count, available);
  const all = given ? null : start + count;
  if (!positions) return rowsOf(shift, prepended + count, all);
  const shared = sameShape(positions.shape, [tokens]);
  if (positions.dtype !== 'i32' || !(shared || sameShape(positions.shape, [batch, tokens])))
    throw new PeftError(
      'bad-shape',
      `positions: got ${describe(positions)}; they must be i32 [${tokens}] or [${batch}, ${tokens}]`,
    );
  // The table starts where token 0 stands, so that positions are looked up as they are; or at 0, where token 0 may stand at either place.
  const own = apart
    ? gather(
        rowsOf(0, start + count, all),
        add(positions, reshape(mul(present, constant(Int32Array.of(start), [])), [batch, 1])),
      )
    : gather(rowsOf(start, count, all), positions);
  if (prepended === 0 || continues) return own;
  const front = rowsOf(shift, prepended, all);
  const together = shared && !apart;
  return concat(together ? front : broadcastTo(front, [batch, ...front.shape]), own, { axis: together ? 0 : 1 });
};

/** How a tower's learned positions are laid out in their table; see `TowerSpec`. */
export interface PositionLayout {
  readonly unplacedToken?: number | null;
  readonly firstPosition?: number;
  readonly placesSeen?: boolean;
}

/** The row of a learned table that the first position has: the one after that of the token which takes none, where there is one. */
export const firstRow = ({ unplacedToken = null, firstPosition = 0 }: PositionLayout): number =>
  unplacedToken === null ? firstPosition : unplacedToken + 1;

/** 0, 1, …, count − 1 as f32 [count]: what is made of it in the graph can be made for any count, where a file leaves it free. */
export const counting = (count: number): Tensor =>
  constant(
    Float32Array.from({ length: count }, (_, i) => i),
    [count],
  );

/** f32 [rows, columns], 1 where the row is not after the column: what sums those before. */
export const upTo = (rows: number, columns: number): Tensor =>
  greaterEqual(counting(columns), reshape(counting(rows), [rows, 1]));

const whole = (value: number): Tensor => constant(Int32Array.of(value), []);

/** f32 [batch, tokens], 1 for tokens that take a position; null where all do. */
const placedOf = (
  ids: Tensor,
  { unplacedToken: unplaced = null, placesSeen = false }: PositionLayout,
  { mask, tokens }: Places,
): Tensor | null => {
  if (unplaced !== null) return sub(1, equal(ids, whole(unplaced)));
  if (!placesSeen || !mask) return null;
  return greater(mask.shape[1] === tokens ? mask : slice(mask, { axis: 1, start: 0, end: tokens }), 0.5);
};

/**
 * The same of a learned table [rows, D]. A token `unplaced`, where there is one, takes no position as long as no rows stand in front of its
 * sequence; transformers, `create_position_ids_from_input_ids` and `create_position_ids_from_inputs_embeds` of RoBERTa. Where only tokens that are seen
 * take one, rows in front take the first; transformers, `OPTLearnedPositionalEmbedding`.
 */
export const tableRows = (table: Tensor, ids: Tensor, layout: PositionLayout, places: Places): Tensor => {
  const { unplacedToken: unplaced = null } = layout;
  const first = firstRow(layout);
  const available = table.shape[0]! - first;
  const rowsOf: RowsOf = (start, count) => {
    if (start >= 0) return slice(table, { axis: 0, start: first + start, end: first + start + count });
    // Before the first position a table knows none; it has its row.
    const places = Int32Array.from({ length: count }, (_, i) => first + Math.max(0, start + i));
    return gather(table, constant(places, [count]));
  };
  const { batch, tokens, prepended, shift, present, positions } = places;
  const taken = positions ? null : placedOf(ids, layout, places);
  if (!taken || (unplaced !== null && prepended > 0 && !present)) return positionRows(rowsOf, available, places);
  requirePositions(shift + prepended, tokens, available);
  const has = present && reshape(present, [batch, 1]);
  const counted = cast(matmul(taken, upTo(tokens, tokens)), { dtype: 'i32' });
  const start = whole(unplaced === null ? shift + prepended : shift);
  const moved = add(counted, has ? mul(has, start) : start);
  const own = add(mul(moved, cast(taken, { dtype: 'i32' })), whole(first - 1));
  if (prepended === 0) return gather(table, own);
  const plain = constant(
    Int32Array.from({ length: tokens }, (_, t) => first + shift + prepended + t),
    [tokens],
  );
  const front = rowsOf(shift, prepended, null);
  const rows = unplaced === null || !has ? own : add(own, mul(has, sub(plain, own)));
  return concat(broadcastTo(front, [batch, ...front.shape]), gather(table, rows), { axis: 1 });
};
