import type { PeftErrorCode } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { expect } from 'vitest';
import type { Cursor, Opened, Stream } from '../src/index.ts';

/** All that comes of a stream, at most `most` items, each with the cursor after it. */
export const readAll = async <T>(
  stream: Stream<T>,
  at?: Cursor,
  most: number = Number.POSITIVE_INFINITY,
): Promise<{ readonly items: readonly T[]; readonly cursors: readonly Cursor[] }> => {
  const from: Opened<T> = stream.open(at);
  const items: T[] = [];
  // The cursor before the first item counts too.
  const cursors: Cursor[] = [from.cursor()];
  while (items.length < most) {
    const next = await from.next();
    if (next.done) break;
    items.push(next.value);
    cursors.push(from.cursor());
  }
  if (items.length < most) expect(await from.next()).toEqual({ done: true, value: undefined });
  await from.return?.();
  return { items, cursors };
};

/** What holds for every stream: it can be read again, and from each of its cursors, sent through JSON, comes what would have come. */
export const obeysStreamLaws = async <T>(stream: Stream<T>, most?: number): Promise<readonly T[]> => {
  const { items, cursors } = await readAll(stream, undefined, most);
  expect((await readAll(stream, undefined, most)).items).toEqual(items);
  for (const [i, cursor] of cursors.entries()) {
    const sent = JSON.parse(JSON.stringify(cursor)) as Cursor;
    expect(sent).toEqual(cursor);
    const left = await readAll(stream, sent, items.length - i);
    expect(left.items).toEqual(items.slice(i));
    // Cursors of what was resumed lead on too.
    const later = left.cursors[Math.min(2, left.cursors.length - 1)]!;
    const from = i + Math.min(2, left.cursors.length - 1);
    expect((await readAll(stream, later, items.length - from)).items).toEqual(items.slice(from));
  }
  return items;
};

/** Reads a stream that must fail with a `PeftError` of this code, and gives back its message. */
export const failure = (code: PeftErrorCode, stream: Stream<unknown>, at?: Cursor): Promise<string> =>
  messageOf(code, () => readAll(stream, at));
