import { checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { end, opened } from './opened.ts';
import type { Cursor, Opened, Parts } from './stream.ts';

/** The parts of a stream one after the other, in an order. */
export const inOrder = <T>(parts: Parts<T>, order: Uint32Array, at?: Cursor): Opened<T> => {
  const stage = 'parts';
  const made = { count: parts.count };
  const checked = at && checkCursor(stage, made, at);
  let place = checked ? countIn(stage, checked, 'place', parts.count) : 0;
  const inner = checked && inputIn(stage, checked);
  let part: Opened<T> | null = place < parts.count ? parts.open(order[place]!, inner ?? undefined) : null;
  return opened({
    next: async () => {
      while (part) {
        const next = await part.next();
        if (!next.done) return next;
        place++;
        part = place < parts.count ? parts.open(order[place]!) : null;
      }
      return end;
    },
    cursor: () => cursorOf(stage, made, { place, input: part?.cursor() ?? null }),
    begin: async () => part?.begin?.(),
    origin: () => part?.origin?.() ?? (async () => `part ${order[place]}`),
    close: async () => part?.return?.(),
  });
};
