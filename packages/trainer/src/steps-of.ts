import type { Batch, Stream, TokenRows } from '@peftjs/data';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { isTokenRows } from './batches.ts';
import { alone, type Group } from './group.ts';
import { hasRepeated } from './has-repeated.ts';
import { shareJson } from './share.ts';

/** The sizes of a run that say how many steps an epoch has. */
export interface StepsOfOptions {
  /** How often all data is visited; 0.5 is half of it. */
  readonly epochs: number;
  /** Rows per micro-batch, of data that is rows. Default 8. */
  readonly batchSize?: number;
  /** Micro-batches per step. Default 1. */
  readonly accumulate?: number;
  /** Processes that train together. Default: this one alone. */
  readonly group?: Group;
}

const rules: Rules<StepsOfOptions> = {
  epochs: mustBe.given(mustBe.positive),
  batchSize: mustBe.count,
  accumulate: mustBe.count,
  group: mustBe.object,
};

const countBatches = async (data: Stream<Batch>): Promise<number> => {
  const opened = data.open();
  let count = 0;
  for await (const _ of opened) {
    count++;
    if (!hasRepeated(opened.cursor())) continue;
    throw new PeftError(
      'bad-data',
      'epochs: the data begins anew, so it tells no end; leave `repeat` out, or give steps',
    );
  }
  return count;
};

/**
 * Steps that visit all data `epochs` times, the last one rounded up. A stream is read once to count its batches, with all that its stages do; where reading
 * is dear, count once and give `steps`. Throws `bad-option`, and `bad-data` where there is nothing or no end.
 */
export const stepsOf = async (data: TokenRows | Stream<Batch>, options: StepsOfOptions): Promise<number> => {
  checkOptions('stepsOf', rules, options);
  const { epochs, batchSize = 8, accumulate = 1, group = alone } = options;
  // Batches of all processes; a stream has those of this one, as many as each other's.
  const batches = isTokenRows(data)
    ? data.rows.length / (batchSize * group.size)
    : await shareJson(group.rank === 0 ? await countBatches(data) : 0, group);
  if (batches === 0) throw new PeftError('bad-data', 'epochs: there is nothing to train on');
  return Math.ceil((epochs * batches) / accumulate);
};
