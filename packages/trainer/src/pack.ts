import { type Batch, ignored } from '@peftjs/data';
import { checkOptions, mustBe, PeftError } from '@peftjs/tensor';

/** Values of a column of a batch: 1 GiB of them. */
const mostValues = 2 ** 28;

/** Throws `bad-option` for a batch that no memory is made for. */
export const checkBatchSize = (who: string, size: number, context: number): void => {
  if (size * context > mostValues)
    throw new PeftError(
      'bad-option',
      `${who}: ${size} rows of ${context} tokens are more than a batch holds, which is ${Math.floor(mostValues / context)} such rows; take fewer, and \`accumulate\` more of them`,
    );
};

/**
 * One batch of `size` rows of tokens: `ids` and the token that follows each as `labels`, −100 where there is none; both [size, context]. Missing rows
 * and positions are padding without labels. Throws `bad-option` for sizes, `bad-data` for rows that have no place in them.
 */
export const makeBatch = (rows: readonly Int32Array[], size: number, context: number): Batch => {
  checkOptions('makeBatch', { size: mustBe.count, context: mustBe.count }, { size, context });
  checkBatchSize('makeBatch', size, context);
  const long = rows.findIndex((row) => row.length > context + 1);
  if (long >= 0 || rows.length > size)
    throw new PeftError(
      'bad-data',
      long >= 0
        ? `makeBatch: row ${long} has ${rows[long]!.length} tokens; rows of context ${context} have at most ${context + 1}`
        : `makeBatch: got ${rows.length} rows for a batch of ${size}`,
    );
  const ids = new Int32Array(size * context);
  const labels = new Int32Array(size * context).fill(ignored);
  for (const [i, row] of rows.entries()) {
    ids.set(row.subarray(0, row.length - 1), i * context);
    labels.set(row.subarray(1), i * context);
  }
  const shape = [size, context];
  return { rows: size, columns: { ids, labels }, shapes: { ids: shape, labels: shape } };
};

/** Values that a batch is counted by, for its pace: labels of tokens, else ids, else rows. */
export const countOf = ({ rows, columns, shapes }: Batch): number => {
  const { labels, ids } = columns;
  if (labels && shapes['labels']!.length > 1) {
    let count = 0;
    for (const label of labels) count += Number(label !== ignored);
    return count;
  }
  return ids?.length ?? rows;
};
