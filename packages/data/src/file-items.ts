import { type FileIn, type FilePlace, fileAt, nameOf, type OpenFile } from '@peftjs/io';
import { checkCursor, countIn, cursorOf } from './cursor.ts';
import { located } from './map.ts';
import { end, item, opened } from './opened.ts';
import type { Cursor, Origin, Stream } from './stream.ts';

/** An item of a file, and the byte where it starts. */
export interface FileItem<T> {
  readonly value: T;
  readonly start: number;
}

/** Items of a file one by one, null after the last; `position` is the byte where reading goes on. */
export interface ItemReader<T> {
  next(): Promise<FileItem<T> | null>;
  position(): number;
}

/** A kind of file that is read from front to back, item by item. */
export interface ItemFormat<T> {
  /** The stage's name in cursors. */
  readonly stage: string;
  /** The options that another reading would give other items with: they are part of the cursor. */
  readonly made: Cursor;
  /** A reader that stands at the front, or at a `position` that one like it had. */
  read(file: OpenFile, at: number | null): Promise<ItemReader<T>>;
  /** The words for an item, such as `line 17`. */
  where(file: OpenFile, start: number, index: number): Promise<string> | string;
}

/** The items of a file as a stream: its cursor is a byte, so resuming reads nothing again. */
export const fileItems = <T>(place: FilePlace, { stage, made, read, where }: ItemFormat<T>): Stream<T> => {
  const openFile = async (): Promise<{ readonly at: FileIn; readonly file: OpenFile }> => {
    const at = await fileAt(place);
    return { at, file: await at.files.open(at.path) };
  };
  const originAt =
    (start: number, index: number): Origin =>
    async () => {
      const { at, file } = await openFile();
      try {
        return `${nameOf(at)} ${await where(file, start, index)}`;
      } finally {
        await file.close();
      }
    };
  const open = (at?: Cursor) => {
    const checked = at && checkCursor(stage, made, at);
    const from = checked?.['at'] == null ? null : countIn(stage, checked, 'at');
    let index = checked ? countIn(stage, checked, 'index') : 0;
    let size = (checked?.['size'] as number | null | undefined) ?? null;
    let file: OpenFile | undefined;
    let reader: ItemReader<T> | undefined;
    let start = from ?? 0;
    const begin = async (): Promise<ItemReader<T>> => {
      const found = await openFile();
      file = found.file;
      if (size !== null) checkCursor(stage, { size: file.size }, checked);
      size = file.size;
      try {
        return await read(file, from);
      } catch (cause) {
        throw await located(async () => nameOf(found.at), cause);
      }
    };
    return opened<T>({
      next: async () => {
        reader ??= await begin();
        start = reader.position();
        try {
          const next = await reader.next();
          if (!next) return end;
          start = next.start;
          index++;
          return item(next.value);
        } catch (cause) {
          throw await located(originAt(start, index), cause);
        }
      },
      cursor: () => cursorOf(stage, made, { at: reader?.position() ?? from, index, size }),
      begin: async () => {
        reader ??= await begin();
      },
      origin: () => originAt(start, index - 1),
      close: async () => file?.close(),
    });
  };
  return { open };
};
