import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { contentHash } from './content-hash.ts';
import { changed, checkCursor, countIn, cursorOf } from './cursor.ts';
import { end, item, opened, originOf } from './opened.ts';
import type { Stage } from './stream.ts';

/** How copies are told. */
export interface UniqueOptions<A> {
  /** The part of an item that must be another one. Default: the whole item. */
  readonly by?: (item: A) => unknown;
  /** Is told of each copy that is left out, by the number of the item. */
  readonly onCopy?: (number: number) => void;
}

/**
 * Items without exact copies of earlier ones, by SHA-256 of what they hold. 96 bits of each are kept, about 100 bytes of memory an item: the only
 * stage whose memory grows with the data. What came before a cursor must be known again, so resuming reads it again. Throws
 * `state-mismatch` where there is less of it.
 */
export const unique = <A>(options: UniqueOptions<A> = {}): Stage<A, A> => {
  const rules: Rules<UniqueOptions<A>> = { by: mustBe.fn, onCopy: mustBe.fn };
  checkOptions('unique', rules, options);
  const { by = (value: A): unknown => value, onCopy } = options;
  const stage = 'unique';
  return (input) => ({
    open: (at, epoch) => {
      const before = at ? countIn(stage, checkCursor(stage, {}, at), 'read') : 0;
      const from = input.open(undefined, epoch);
      const seen = new Set<string>();
      let read = 0;
      const isNew = async (value: A): Promise<boolean> => {
        const key = (await contentHash(by(value))).slice(0, 24);
        if (seen.has(key)) return false;
        seen.add(key);
        return true;
      };
      return opened<A>({
        next: async () => {
          for (;;) {
            const next = await from.next();
            if (next.done && read < before) throw changed(stage);
            if (next.done) return end;
            const own = read++;
            const isFirst = await isNew(next.value);
            if (own < before) continue;
            if (isFirst) return item(next.value);
            onCopy?.(own);
          }
        },
        cursor: () => cursorOf(stage, {}, { read: Math.max(read, before) }),
        begin: async () => from.begin?.(),
        origin: () => originOf(from, read - 1),
        close: async () => from.return?.(),
      });
    },
  });
};
