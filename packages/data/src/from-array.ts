import { checkCursor, countIn, cursorOf } from './cursor.ts';
import { end, item, opened } from './opened.ts';
import type { Opened, Parts, Stream } from './stream.ts';

/** A stream of what is in memory. */
export const fromArray = <T>(items: readonly T[], name = 'row'): Stream<T> => {
  const made = { length: items.length };
  const between = (first: number, after: number): Opened<T> => {
    let at = first;
    return opened({
      next: async () => (at < after ? item(items[at++]!) : end),
      cursor: () => cursorOf('fromArray', made, { at }),
      origin: () => {
        const row = at - 1;
        return async () => `${name} ${row}`;
      },
    });
  };
  const parts: Parts<T> = {
    count: items.length,
    single: true,
    open: (part, at) =>
      between(at ? countIn('fromArray', checkCursor('fromArray', made, at), 'at', part + 1) : part, part + 1),
  };
  return {
    open: (at) =>
      between(at ? countIn('fromArray', checkCursor('fromArray', made, at), 'at', items.length) : 0, items.length),
    parts: async () => parts,
  };
};
