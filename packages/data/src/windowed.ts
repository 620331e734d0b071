import { changed, checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { located } from './map.ts';
import { end, item, opened, originOf } from './opened.ts';
import type { Cursor, Origin, Stage } from './stream.ts';

/** A stage that arranges a number of items in memory anew. */
export interface Windowed<A, B> {
  readonly stage: string;
  /** Items in memory at once. */
  readonly size: number;
  /** The options that make another order: they are part of the cursor. */
  readonly made: Cursor;
  /** Refuses an item. Throws `bad-data`. */
  check?(item: A): void;
  /** Which items come together and in which order, by their numbers; of window `block` in an epoch. */
  arrange(items: readonly A[], block: number, epoch: number): readonly (readonly number[])[];
  /** Items that come together, and where each comes from, as one. */
  make(items: readonly A[], origins: readonly Origin[]): B | Promise<B>;
}

/** Items in windows that are arranged anew. A cursor says where the window begins, so resuming reads at most one window again. */
export const windowed =
  <A, B>({ stage, size, made: options, check, arrange, make }: Windowed<A, B>): Stage<A, B> =>
  (input) => ({
    open: (at, epoch = 0) => {
      const made = { ...options, window: size };
      const checked = at && checkCursor(stage, made, at);
      let block = checked ? countIn(stage, checked, 'block') : 0;
      let skip = checked ? countIn(stage, checked, 'taken') : 0;
      let start: Cursor | null = checked ? inputIn(stage, checked) : null;
      const from = input.open(start ?? undefined, epoch);
      let groups: readonly (readonly number[])[] = [];
      let items: A[] = [];
      let origins: Origin[] = [];
      let own: readonly Origin[] = [];
      let [taken, count] = [0, 0];

      const fill = async (): Promise<void> => {
        await from.begin?.();
        start = from.cursor();
        [items, origins] = [[], []];
        while (items.length < size) {
          const next = await from.next();
          if (next.done) break;
          const origin = originOf(from, count++);
          try {
            check?.(next.value);
          } catch (cause) {
            throw await located(origin, cause);
          }
          items.push(next.value);
          origins.push(origin);
        }
        groups = items.length > 0 ? arrange(items, block, epoch) : [];
        if (skip > 0 && skip >= groups.length) throw changed(stage);
        [taken, skip] = [skip, 0];
        block++;
      };
      return opened<B>({
        next: async () => {
          if (taken >= groups.length) await fill();
          const group = groups[taken];
          if (!group) return end;
          taken++;
          own = group.map((i) => origins[i]!);
          return item(
            await make(
              group.map((i) => items[i]!),
              own,
            ),
          );
        },
        cursor: () =>
          taken < groups.length
            ? cursorOf(stage, made, { block: block - 1, taken, input: start })
            : cursorOf(stage, made, { block, taken: skip, input: skip > 0 ? start : from.cursor() }),
        begin: async () => from.begin?.(),
        origin: () => {
          const places = own;
          return async (part = 0) => (places[part] ?? places[0])?.() ?? `item ${part}`;
        },
        close: async () => from.return?.(),
      });
    },
  });
