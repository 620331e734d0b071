import { checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { located } from './map.ts';
import { end, item, opened, originOf } from './opened.ts';
import type { Cursor, Opened, Stage } from './stream.ts';

type Several<B> = Iterable<B> | AsyncIterable<B>;

const several = async <B>(values: Several<B>): Promise<readonly B[]> => {
  const list: B[] = [];
  for await (const value of values) list.push(value);
  return list;
};

/**
 * Several items, or none, for each: a function makes a list of it, which is in memory as a whole. It must make the same list of the same
 * item each time, since resuming within one makes it again.
 */
export const flatMap =
  <A, B>(fn: (value: A) => Several<B> | Promise<Several<B>>): Stage<A, B> =>
  (input) => {
    const read = (open: (at?: Cursor) => Opened<A>, at: Cursor | undefined): Opened<B> => {
      const checked = at && checkCursor('flatMap', {}, at);
      let before = checked ? inputIn('flatMap', checked) : null;
      let skip = checked ? countIn('flatMap', checked, 'taken') : 0;
      const from = open(before ?? undefined);
      let list: readonly B[] = [];
      let [taken, count] = [0, -1];
      return opened({
        next: async () => {
          while (taken >= list.length) {
            await from.begin?.();
            before = from.cursor();
            const next = await from.next();
            if (next.done) return end;
            count++;
            try {
              list = await several(await fn(next.value));
            } catch (cause) {
              throw await located(originOf(from, count), cause);
            }
            taken = skip;
            skip = 0;
          }
          return item(list[taken++]!);
        },
        cursor: () =>
          taken < list.length
            ? cursorOf('flatMap', {}, { input: before, taken })
            : cursorOf('flatMap', {}, { input: skip > 0 ? before : from.cursor(), taken: skip }),
        begin: async () => from.begin?.(),
        origin: () => originOf(from, count),
        close: async () => from.return?.(),
      });
    };
    return {
      open: (at, epoch) => read((cursor) => input.open(cursor, epoch), at),
      ...(input.parts && {
        parts: async () => {
          const parts = await input.parts!();
          return {
            count: parts.count,
            single: false,
            open: (part, at) => read((cursor) => parts.open(part, cursor), at),
          };
        },
      }),
    };
  };
