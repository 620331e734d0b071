import { PeftError } from '@peftjs/tensor';
import { checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { end, opened } from './opened.ts';
import type { Stage } from './stream.ts';

/** All items again and again, in another order each time where a `shuffle` comes before. Without a number it never ends. Throws `bad-data` where there is none. */
export const repeat = <A>(epochs: number = Number.POSITIVE_INFINITY): Stage<A, A> => {
  if (!(epochs === Number.POSITIVE_INFINITY || Number.isSafeInteger(epochs)) || epochs < 1)
    throw new PeftError('bad-option', `repeat: epochs must be a whole number of at least 1, got ${epochs}`);
  return (input) => ({
    open: (at) => {
      const checked = at && checkCursor('repeat', {}, at);
      let epoch = checked ? countIn('repeat', checked, 'epoch') : 0;
      let from = input.open((checked && inputIn('repeat', checked)) ?? undefined, epoch);
      // After resuming, a rest may be empty.
      let isFresh = !checked;
      return opened({
        next: async () => {
          for (;;) {
            const next = await from.next();
            if (!next.done) {
              isFresh = false;
              return next;
            }
            if (isFresh) throw new PeftError('bad-data', 'repeat: there is nothing to repeat, the data is empty');
            if (epoch + 1 >= epochs) return end;
            epoch++;
            isFresh = true;
            from = input.open(undefined, epoch);
          }
        },
        cursor: () => cursorOf('repeat', {}, { epoch, input: from.cursor() }),
        begin: async () => from.begin?.(),
        origin: () => from.origin?.() ?? (async () => `epoch ${epoch}`),
        close: async () => from.return?.(),
      });
    },
  });
};
