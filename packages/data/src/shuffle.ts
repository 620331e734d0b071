import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { changed, checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { inOrder } from './in-order.ts';
import { end, item, opened, originOf } from './opened.ts';
import { shuffled } from './shuffled.ts';
import type { Cursor, Opened, Origin, Stage, Stream } from './stream.ts';

/** How items are shuffled. */
export interface ShuffleOptions {
  readonly seed: number;
  /** Items that are in memory and change places with each other. Default 10,000; 1 for what is in memory anyway, all of which is shuffled. */
  readonly window?: number;
}

const rules: Rules<ShuffleOptions> = {
  seed: mustBe.given(mustBe.such('a whole number', Number.isSafeInteger)),
  window: mustBe.count,
};

const defaultWindow = 10_000;

interface Waiting<A> {
  readonly value: A;
  readonly origin: Origin;
}

/** The input in an order of its parts, and how many of its items are shuffled at once. */
const openInput = async <A>(
  input: Stream<A>,
  { seed, window }: ShuffleOptions,
  epoch: number,
  at: Cursor | undefined,
): Promise<{ readonly from: Opened<A>; readonly size: number }> => {
  const parts = await input.parts?.();
  if (!parts) return { from: input.open(at, epoch), size: window ?? defaultWindow };
  const from = inOrder(parts, shuffled(parts.count, seed, `epoch ${epoch}`), at);
  return { from, size: window ?? (parts.single ? 1 : defaultWindow) };
};

/**
 * Items in an order drawn from the seed, another one in each epoch. Items of `fromArray` are shuffled all together. Of a file, blocks are read in
 * an order drawn from the seed, and the items that come so are shuffled among `window` neighbours; of any other stream, only that. A cursor
 * says where the window begins, so resuming reads at most one window again.
 */
export const shuffle = <A>(options: ShuffleOptions): Stage<A, A> => {
  checkOptions('shuffle', rules, options);
  const { seed, window } = options;
  const stage = 'shuffle';
  return (input) => ({
    open: (at, epoch = 0) => {
      const made = { seed, window: window ?? null, epoch };
      const checked = at && checkCursor(stage, made, at);
      let block = checked ? countIn(stage, checked, 'block') : 0;
      let skip = checked ? countIn(stage, checked, 'taken') : 0;
      let start = checked ? inputIn(stage, checked) : null;
      let source: Awaited<ReturnType<typeof openInput<A>>> | undefined;
      let waiting: (Waiting<A> | null)[] = [];
      let order: Uint32Array = new Uint32Array(0);
      let [taken, count] = [0, 0];
      let origin: Origin;

      const fill = async ({ from, size }: { readonly from: Opened<A>; readonly size: number }): Promise<void> => {
        await from.begin?.();
        start = from.cursor();
        waiting = [];
        while (waiting.length < size) {
          const next = await from.next();
          if (next.done) break;
          waiting.push({ value: next.value, origin: originOf(from, count++) });
        }
        order =
          waiting.length > 1
            ? shuffled(waiting.length, seed, `epoch ${epoch} window ${block}`)
            : new Uint32Array(waiting.length);
        if (skip > 0 && skip >= waiting.length) throw changed(stage);
        taken = skip;
        skip = 0;
        block++;
      };
      const open = () => openInput(input, options, epoch, start ?? undefined);
      return opened({
        next: async () => {
          source ??= await open();
          while (taken >= waiting.length) {
            await fill(source);
            if (waiting.length === 0) return end;
          }
          const at = order[taken++]!;
          const { value, origin: of } = waiting[at]!;
          waiting[at] = null;
          origin = of;
          return item(value);
        },
        cursor: () =>
          taken < waiting.length
            ? cursorOf(stage, made, { block: block - 1, taken, input: start })
            : cursorOf(stage, made, { block, taken: skip, input: source && skip === 0 ? source.from.cursor() : start }),
        begin: async () => {
          source ??= await open();
          await source.from.begin?.();
        },
        origin: () => origin,
        close: async () => source?.from.return?.(),
      });
    },
  });
};
