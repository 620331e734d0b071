import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { type Batch, type StackOptions, stacker, stackRules } from './batch.ts';
import { shuffled } from './shuffled.ts';
import type { Row, Stage } from './stream.ts';
import { windowed } from './windowed.ts';

/** How rows of like lengths become batches. */
export interface BatchByTokensOptions extends StackOptions {
  /** Tokens in a batch at most, those that fill rows up included: rows × the longest row. */
  readonly tokens: number;
  readonly seed: number;
  /** Rows that are in memory and sorted by their lengths. Default 1,000. */
  readonly window?: number;
  /** Rows in a batch at most. Default: as many as the tokens allow. */
  readonly most?: number;
}

const rules: Rules<BatchByTokensOptions> = {
  tokens: mustBe.given(mustBe.count),
  seed: mustBe.given(mustBe.such('a whole number', Number.isSafeInteger)),
  window: mustBe.count,
  most: mustBe.count,
  ...stackRules,
};

const lengthOf = (row: Row): number => row['ids']?.length ?? 0;

/** Rows by their lengths, cut where one more would make a batch too large. */
const groupsOf = (
  lengths: readonly number[],
  room: (count: number, longest: number) => boolean,
): readonly number[][] => {
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[a]! - lengths[b]! || a - b);
  const groups: number[][] = [];
  for (const i of order) {
    const last = groups.at(-1);
    // Of sorted rows the last is the longest.
    if (last && room(last.length + 1, lengths[i]!)) last.push(i);
    else groups.push([i]);
  }
  return groups;
};

/**
 * Rows of like lengths together, as many as a number of tokens allows, so that little is filled up and each step takes as long: the rows of a window
 * are sorted by their lengths, cut, and the batches come in an order drawn from the seed, another one in each epoch. Errors are those of
 * `batch`, and `bad-data` for a row that has more tokens alone.
 */
export const batchByTokens = (options: BatchByTokensOptions): Stage<Row, Batch> => {
  checkOptions('batchByTokens', rules, options);
  const { tokens, seed, window = 1000, most = Number.POSITIVE_INFINITY, multipleOf = 1 } = options;
  const filled = (length: number): number => Math.ceil(length / multipleOf) * multipleOf;
  const { tokens: _, seed: __, window: ___, most: ____, ...how } = options;
  return windowed({
    stage: 'batchByTokens',
    size: window,
    made: { tokens, seed, most: Number.isFinite(most) ? most : null, multipleOf },
    check: (row) => {
      if (filled(lengthOf(row)) <= tokens) return;
      throw new PeftError(
        'bad-data',
        `has ${lengthOf(row)} tokens, a batch takes ${tokens}; \`atMost\` before it refuses or cuts such, or allow more`,
      );
    },
    arrange: (rows, block, epoch) => {
      const groups = groupsOf(
        rows.map(lengthOf),
        (count, longest) => count <= most && count * filled(longest) <= tokens,
      );
      return [...shuffled(groups.length, seed, `epoch ${epoch} window ${block}`)].map((i) => groups[i]!);
    },
    make: stacker(how),
  });
};
