import { ignored } from '@peftjs/data';

/** A batch as a step is fed: ids and the token that follows each, −100 where there is none. Shapes [rows, context]. */
export interface Batch {
  readonly ids: Int32Array;
  readonly labels: Int32Array;
  /** Labelled positions. */
  readonly tokens: number;
}

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
