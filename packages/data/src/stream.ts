import type { TypedArray } from '@peftjs/tensor';

/** A row: named columns of numbers, such as `ids` and `labels`. */
export type Row = Readonly<Record<string, TypedArray>>;

/** Where a stream stands: values of JSON, so that it can be kept in a file. */
export type Cursor = Readonly<Record<string, unknown>>;

/** Says where an item comes from, such as `train.jsonl line 17`; of several joined in one, the `part`-th of them. It may have to look it up. */
export type Origin = (part?: number) => Promise<string>;

/** A stream that is being read. One item is asked for at a time. */
export interface Opened<T> extends AsyncIterableIterator<T, undefined> {
  /** Where it stands: opened there again, a stream goes on with what comes next. */
  cursor(): Cursor;
  /** Opens what will be read, as the first `next` would: from then on a cursor says which file it is of. */
  begin?(): Promise<void>;
  /** Where the item that was given last comes from. */
  origin?(): Origin;
  /** Ends reading and closes files. */
  return?(): Promise<IteratorReturnResult<undefined>>;
}

/** Parts of a stream that can be read in any order, each of them whole. All parts in order are the stream. */
export interface Parts<T> {
  readonly count: number;
  /** Whether each part is a single item. */
  readonly single: boolean;
  open(part: number, at?: Cursor): Opened<T>;
}

/** Items that come one after the other, as often as it is opened. */
export interface Stream<T> {
  /**
   * Starts reading, at a cursor that this stream gave before or at the front. `epoch` counts how often all has been read before (`repeat`
   * tells it), so that the order can be another one. Throws `state-mismatch` for a cursor that is of another stream.
   */
  open(at?: Cursor, epoch?: number): Opened<T>;
  /** Parts for `shuffle`, where the source has them. */
  parts?(): Promise<Parts<T>>;
}

/** A step from one stream to another. */
export type Stage<A, B> = (input: Stream<A>) => Stream<B>;
