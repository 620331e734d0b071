import { PeftError } from '@peftjs/tensor';

/** Rows of `context + 1` consecutive tokens: position t predicts t + 1. */
export interface TokenRows {
  readonly context: number;
  /** Each row holds `context + 1` ids; the last one may be shorter when `keepRest` was set. */
  readonly rows: readonly Int32Array[];
}

/** How documents become rows. */
export interface PackOptions {
  /** Positions per row. */
  readonly context: number;
  /** Id put before each document and after the last. */
  readonly endOfText: number;
  /** Keep the last, shorter row: for evaluation, where every token must count. Default false. */
  readonly keepRest?: boolean;
}

/**
 * Joins tokenised documents, the end-of-text token before each and after the last, and cuts the stream into rows that overlap by one token, so that every
 * token but the first is predicted exactly once. Throws `bad-data` when the text is shorter than one row.
 */
export const packTokens = (
  documents: Iterable<ArrayLike<number>>,
  { context, endOfText, keepRest = false }: PackOptions,
): TokenRows => {
  const stream: number[] = [endOfText];
  for (const ids of documents) {
    for (let i = 0; i < ids.length; i++) stream.push(ids[i]!);
    stream.push(endOfText);
  }
  const rows: Int32Array[] = [];
  for (let at = 0; at + context < stream.length; at += context)
    rows.push(Int32Array.from(stream.slice(at, at + context + 1)));
  const rest = stream.slice(rows.length * context);
  if (keepRest && rest.length > 1) rows.push(Int32Array.from(rest));
  if (rows.length === 0)
    throw new PeftError(
      'bad-data',
      `the text has ${stream.length} tokens, a row takes ${context + 1}; give more text or a shorter context`,
    );
  return { context, rows };
};

/** A batch as a step is fed: ids and the token that follows each, −100 where there is none. Shapes [rows, context]. */
export interface Batch {
  readonly ids: Int32Array;
  readonly labels: Int32Array;
  /** Labelled positions. */
  readonly tokens: number;
}

/** Label of positions that do not count. */
export const ignored = -100;

/** One batch of `size` rows; missing rows and positions are padding without labels. */
export const makeBatch = (rows: readonly Int32Array[], size: number, context: number): Batch => {
  const ids = new Int32Array(size * context);
  const labels = new Int32Array(size * context).fill(ignored);
  let tokens = 0;
  for (const [i, row] of rows.entries()) {
    ids.set(row.subarray(0, row.length - 1), i * context);
    labels.set(row.subarray(1), i * context);
    tokens += row.length - 1;
  }
  return { ids, labels, tokens };
};
