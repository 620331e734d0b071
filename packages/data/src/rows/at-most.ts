import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { flatMap } from '../flat-map.ts';
import { ignored } from '../ignored.ts';
import type { Row, Stage } from '../stream.ts';

/** A row that was too long. */
export interface Misfit {
  readonly tokens: number;
  readonly context: number;
  /** Whether it was left out, since nothing of what is left of it would be learnt, or as was asked for. */
  readonly isLeftOut: boolean;
}

/** How rows are fitted. */
export interface AtMostOptions {
  /** Tokens that a row may have. */
  readonly context: number;
  /** The fate of longer rows: an error, their end or their beginning cut off, or left out. Default `refuse`. */
  readonly long?: 'refuse' | 'cut-end' | 'cut-start' | 'leave-out';
  /** Is told of each row that was too long. Required for all but `refuse`, so that nothing is lost unseen. */
  readonly onLong?: (row: Misfit) => void;
}

const rules: Rules<AtMostOptions> = {
  context: mustBe.given(mustBe.count),
  long: mustBe.oneOf(['refuse', 'cut-end', 'cut-start', 'leave-out']),
  onLong: mustBe.fn,
};

/**
 * Rows of at most `context` tokens; all columns of a row are as long as each other and are cut alike. A row of which nothing would be learnt
 * once it is cut is left out. Throws `bad-data`, with the place, for longer rows unless asked otherwise; `bad-option` where they are to be cut and
 * nobody is told.
 */
export const atMost = <R extends Row>(options: AtMostOptions): Stage<R, R> => {
  checkOptions('atMost', rules, options, ({ long = 'refuse', onLong }) =>
    long === 'refuse' || onLong ? [] : [`onLong must be given with long: '${long}', to be told what is cut`],
  );
  const { context, long = 'refuse', onLong } = options;
  const fitted = (row: R): readonly R[] => {
    const tokens = row['ids']?.length ?? 0;
    if (tokens <= context) return [row];
    if (long === 'refuse')
      throw new PeftError(
        'bad-data',
        `has ${tokens} tokens, and ${context} are allowed; shorten it, allow more, or have \`atMost\` cut it`,
      );
    const other = Object.entries(row).find(([, column]) => column.length !== tokens);
    if (other && long !== 'leave-out')
      throw new PeftError(
        'bad-data',
        `has ${tokens} ids and ${other[1].length} ${other[0]}, so it can't be cut; leave it out`,
      );
    const from = long === 'cut-start' ? tokens - context : 0;
    const cut = Object.fromEntries(
      Object.entries(row).map(([name, column]) => [name, column.slice(from, from + context)]),
    ) as R;
    const isLeftOut = long === 'leave-out' || (cut['labels']?.every((label) => label === ignored) ?? false);
    onLong!({ tokens, context, isLeftOut });
    return isLeftOut ? [] : [cut];
  };
  return flatMap(fitted);
};
