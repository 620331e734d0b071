import { checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { end, opened } from './opened.ts';
import type { Opened, Parts, Stream } from './stream.ts';

/** Streams one after the other, as one: the files of a folder. */
export const inSequence = <T>(streams: readonly Stream<T>[]): Stream<T> => {
  const stage = 'inSequence';
  const made = { count: streams.length };
  const open: Stream<T>['open'] = (at, epoch) => {
    const checked = at && checkCursor(stage, made, at);
    let place = checked ? countIn(stage, checked, 'place', streams.length) : 0;
    const openAt = (input?: ReturnType<typeof inputIn>): Opened<T> | undefined =>
      streams[place]?.open(input ?? undefined, epoch);
    let from = openAt(checked && inputIn(stage, checked));
    return opened({
      next: async () => {
        while (from) {
          const next = await from.next();
          if (!next.done) return next;
          place++;
          from = openAt();
        }
        return end;
      },
      cursor: () => cursorOf(stage, made, { place, input: from?.cursor() ?? null }),
      begin: async () => from?.begin?.(),
      origin: () => from?.origin?.() ?? (async () => `part ${place}`),
      close: async () => from?.return?.(),
    });
  };
  /** The parts of all streams; one that has none is one part. */
  const parts = async (): Promise<Parts<T>> => {
    const all = await Promise.all(streams.map((stream) => stream.parts?.()));
    const places = all.flatMap((own, of) =>
      Array.from({ length: own?.count ?? 1 }, (_, part) => [streams[of]!, own, part] as const),
    );
    return {
      count: places.length,
      single: all.every((own) => own?.single === true),
      open: (at, cursor) => {
        const [stream, own, part] = places[at]!;
        return own ? own.open(part, cursor) : stream.open(cursor);
      },
    };
  };
  return { open, parts };
};
