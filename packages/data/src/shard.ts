import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { checkCursor, cursorOf, inputIn } from './cursor.ts';
import { end, item, opened, originOf } from './opened.ts';
import type { Origin, Stage } from './stream.ts';

/** Which of several machines this is. */
export interface ShardOptions {
  /** From 0. */
  readonly rank: number;
  readonly size: number;
  /** A trainer's `Group` fits as it is; these of it are not used. */
  readonly allReduce?: (values: Float32Array) => Promise<void>;
  readonly broadcast?: (values: Float32Array, root: number) => Promise<void>;
}

const rules: Rules<ShardOptions> = {
  rank: mustBe.given(mustBe.whole),
  size: mustBe.given(mustBe.count),
  allReduce: mustBe.fn,
  broadcast: mustBe.fn,
};

/**
 * Every `size`-th item, from the `rank`-th on: what one of several machines trains on. All get as many, so what would be left over at the
 * end goes to none.
 */
export const shard = <A>(options: ShardOptions): Stage<A, A> => {
  checkOptions('shard', rules, options, ({ rank, size }) =>
    rank < size ? [] : [`rank must be a whole number from 0 to size − 1, got rank ${rank} of size ${size}`],
  );
  const { rank, size } = options;
  // Ranks stand at the same place between two items, so a cursor of one is one of all.
  const made = { size };
  return (input) => ({
    open: (at, epoch) => {
      const before = at && inputIn('shard', checkCursor('shard', made, at));
      const from = input.open(before ?? undefined, epoch);
      let rounds = -1;
      let origin: Origin;
      return opened({
        next: async () => {
          rounds++;
          let own: A | undefined;
          for (let i = 0; i < size; i++) {
            const next = await from.next();
            if (next.done) return end;
            if (i !== rank) continue;
            own = next.value;
            origin = originOf(from, rounds * size + i);
          }
          return item(own as A);
        },
        cursor: () => cursorOf('shard', made, { input: from.cursor() }),
        begin: async () => from.begin?.(),
        origin: () => origin,
        close: async () => from.return?.(),
      });
    },
  });
};
