import type { Cursor, Opened, Origin } from './stream.ts';

/** A stream that is being read, as a stage gives it. */
export interface Reading<T> {
  /** The next item, `end` after the last. */
  next(): Promise<IteratorResult<T, undefined>>;
  cursor(): Cursor;
  begin?(): Promise<void>;
  origin?(): Origin;
  close?(): Promise<unknown>;
}

/** The answer of `next` after the last item. */
export const end: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** The answer of `next` for an item. */
export const item = <T>(value: T): IteratorYieldResult<T> => ({ done: false, value });

/** A stream that is being read: calls of `next` wait for each other, what has ended or failed stays ended and is closed. */
export const opened = <T>({ next, cursor, begin, origin, close }: Reading<T>): Opened<T> => {
  let last: Promise<unknown> = Promise.resolve();
  let ended = false;
  const finish = async (): Promise<IteratorReturnResult<undefined>> => {
    if (!ended) {
      ended = true;
      await close?.();
    }
    return end;
  };
  const step = async (): Promise<IteratorResult<T, undefined>> => {
    if (ended) return end;
    try {
      const result = await next();
      return result.done ? await finish() : result;
    } catch (error) {
      await finish();
      throw error;
    }
  };
  const queue = <R>(task: () => Promise<R>): Promise<R> => {
    const run = last.then(task);
    last = run.catch(() => {});
    return run;
  };
  return {
    next: () => queue(step),
    return: () => queue(finish),
    cursor,
    ...(begin && { begin: () => queue(begin) }),
    ...(origin && { origin }),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
};

/** Where the item that was given last comes from; a source that can't say is counted. */
export const originOf = (from: Opened<unknown>, count: number): Origin =>
  from.origin?.() ?? (async () => `item ${count}`);
