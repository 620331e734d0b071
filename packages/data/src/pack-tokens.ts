import { PeftError } from '@peftjs/tensor';
import { checkDocument } from './check-ids.ts';
import { checkPack, makePacker, type PackOptions } from './packer.ts';
import { kindOf } from './words.ts';

/** Rows of `context + 1` consecutive tokens: position t predicts t + 1. */
export interface TokenRows {
  readonly context: number;
  /** Each row holds `context + 1` ids; the last one may be shorter when `keepRest` was set. */
  readonly rows: readonly Int32Array[];
}

/** A text that is too short for a row. */
export const tooShort = (tokens: number, context: number): PeftError =>
  new PeftError(
    'bad-data',
    `the text has ${tokens} tokens, a row takes ${context + 1}; give more text or a shorter context`,
  );

/**
 * Joins tokenised documents, the end-of-text token before each and after the last, and cuts that into rows that overlap by one token, so that every
 * token but the first is predicted exactly once. All rows are in memory; `pack` does the same with a stream. Throws `bad-data` for what are no
 * documents of ids, and when the text is shorter than one row.
 */
export const packTokens = (documents: Iterable<ArrayLike<number>>, options: PackOptions): TokenRows => {
  checkPack('packTokens', options);
  if (typeof documents === 'string' || typeof documents?.[Symbol.iterator] !== 'function')
    throw new PeftError('bad-data', `packTokens: takes documents, each a list of ids, got ${kindOf(documents)}`);
  const { context, keepRest = false } = options;
  const packer = makePacker(options);
  const rows: Int32Array[] = [];
  let [count, tokens] = [0, 1];
  for (const ids of documents) {
    checkDocument(`packTokens: document ${count++}`, ids);
    tokens += ids.length + 1;
    packer.push(ids);
    for (let row = packer.take(); row; row = packer.take()) rows.push(row.tokens);
  }
  const rest = keepRest ? packer.rest() : null;
  if (rest) rows.push(rest.tokens);
  if (rows.length === 0) throw tooShort(tokens, context);
  return { context, rows };
};
