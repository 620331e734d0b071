import { checkOptions, isPeftError, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { opened, originOf } from './opened.ts';
import type { Opened, Stage } from './stream.ts';

/** How many items may be bad. */
export interface SkipBadOptions {
  /** Bad items that are allowed; one more is an error. */
  readonly most: number;
  /** Is told of each that is left out: the error that names its place and what is wrong. */
  readonly onSkip: (error: PeftError) => void;
}

const rules: Rules<SkipBadOptions> = { most: mustBe.given(mustBe.count), onSkip: mustBe.given(mustBe.fn) };

/**
 * Leaves out items that a source or a stage before it finds bad (`bad-data`), up to a number of them, and tells of each. It stands behind stages that
 * take items one by one, and before those that gather them (`shuffle`, `pack`, `batch`), whose errors it passes on; a file that is broken as a
 * whole is an error too. Throws `bad-data` with the last place once there are more.
 */
export const skipBad = <A>(options: SkipBadOptions): Stage<A, A> => {
  checkOptions('skipBad', rules, options);
  const { most, onSkip } = options;
  const stage = 'skipBad';
  return (input) => ({
    open: (at, epoch) => {
      const checked = at && checkCursor(stage, {}, at);
      let skipped = checked ? countIn(stage, checked, 'skipped') : 0;
      let from: Opened<A> = input.open((checked && inputIn(stage, checked)) ?? undefined, epoch);
      let count = -1;
      return opened<A>({
        next: async () => {
          for (;;) {
            await from.begin?.();
            const before = JSON.stringify(from.cursor());
            try {
              count++;
              return await from.next();
            } catch (error) {
              const isBad = isPeftError(error) && error.code === 'bad-data';
              // Where it does not stand behind the bad item, there is no way past it.
              if (!isBad || JSON.stringify(from.cursor()) === before) throw error;
              if (skipped >= most)
                throw new PeftError(
                  'bad-data',
                  `${error.message} (${most} bad items before it were left out, and no more are allowed)`,
                  { cause: error },
                );
              skipped++;
              onSkip(error);
              from = input.open(from.cursor(), epoch);
            }
          }
        },
        cursor: () => cursorOf(stage, {}, { skipped, input: from.cursor() }),
        begin: async () => from.begin?.(),
        origin: () => originOf(from, count),
        close: async () => from.return?.(),
      });
    },
  });
};
