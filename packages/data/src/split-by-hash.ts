import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { contentHash } from './content-hash.ts';
import { filter } from './map.ts';
import type { Stage } from './stream.ts';

/** How items are split. */
export interface SplitOptions<A> {
  /** The share that is held out, above 0 and below 1. */
  readonly heldOut: number;
  /** The part of an item that decides: items with the same are on one side, as all chunks of a document should be. Default: the whole item. */
  readonly by?: (item: A) => unknown;
  /** Another seed is another split. Default 0. */
  readonly seed?: number;
}

/** Two stages that divide items between them: each item is in one of them. */
export interface Split<A> {
  readonly train: Stage<A, A>;
  readonly heldOut: Stage<A, A>;
}

/**
 * Splits items by a hash of what they hold: the same item is always on the same side, wherever it stands in a file and whatever is added to it
 * later, and copies of an item are never on both. About `heldOut` of them are held out.
 */
export const splitByHash = <A>(options: SplitOptions<A>): Split<A> => {
  const rules: Rules<SplitOptions<A>> = {
    heldOut: mustBe.given(mustBe.such('above 0 and below 1', (v) => typeof v === 'number' && v > 0 && v < 1)),
    by: mustBe.fn,
    seed: mustBe.such('a whole number', Number.isSafeInteger),
  };
  checkOptions('splitByHash', rules, options);
  const { heldOut, by = (item: A): unknown => item, seed = 0 } = options;
  const isHeldOut = async (item: A): Promise<boolean> => {
    const hash = await contentHash([seed, by(item)]);
    return Number.parseInt(hash.slice(0, 12), 16) / 2 ** 48 < heldOut;
  };
  return { train: filter(async (item) => !(await isHeldOut(item))), heldOut: filter(isHeldOut) };
};
