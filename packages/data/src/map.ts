import { isPeftError, PeftError } from '@peftjs/tensor';
import { end, item, opened, originOf } from './opened.ts';
import type { Opened, Origin, Stage } from './stream.ts';

/** An error about an item, with the place that the item comes from in front. */
export const located = async (origin: Origin, cause: unknown): Promise<PeftError> => {
  const code = isPeftError(cause) ? cause.code : 'bad-data';
  const message = cause instanceof Error ? cause.message : String(cause);
  return new PeftError(code, `${await origin()}: ${message}`, { cause });
};

/** A stream item by item through `step`, which gives a result to hand on or, with `end`, none. */
const through = <A, B>(from: Opened<A>, step: (value: A) => Promise<IteratorResult<B, undefined>>): Opened<B> => {
  let count = -1;
  return opened({
    next: async () => {
      for (;;) {
        const next = await from.next();
        if (next.done) return end;
        count++;
        try {
          const result = await step(next.value);
          if (!result.done) return result;
        } catch (cause) {
          throw await located(originOf(from, count), cause);
        }
      }
    },
    cursor: () => from.cursor(),
    begin: async () => from.begin?.(),
    origin: () => originOf(from, count),
    close: async () => from.return?.(),
  });
};

const stage =
  <A, B>(step: (value: A) => Promise<IteratorResult<B, undefined>>): Stage<A, B> =>
  (input) => ({
    open: (at, epoch) => through(input.open(at, epoch), step),
    ...(input.parts && {
      parts: async () => {
        const { count, single, open } = await input.parts!();
        return { count, single, open: (part, at) => through(open(part, at), step) };
      },
    }),
  });

/** Each item through a function. Where that throws, the error says which item it was; one that is no `PeftError` becomes `bad-data`. */
export const map = <A, B>(fn: (value: A) => B | Promise<B>): Stage<A, B> =>
  stage(async (value: A) => item(await fn(value)));

/** The items for which a function says true. */
export const filter = <A>(keep: (value: A) => boolean | Promise<boolean>): Stage<A, A> =>
  stage(async (value: A) => ((await keep(value)) ? item(value) : end));
