import { type FileIn, type FilePlace, fileAt, nameOf, type OpenFile } from '@peftjs/io';
import { checkOptions, mustBe, type Rules } from '@peftjs/tensor';
import { checkCursor, countIn, cursorOf } from './cursor.ts';
import { located } from './map.ts';
import { end, item, opened } from './opened.ts';
import { lineOf, type RecordRange, type RecordReader, recordReader } from './record-reader.ts';
import type { Cursor, Opened, Origin, Stream } from './stream.ts';

/** How a file of text is cut. */
export interface TextOptions {
  /** The separator of two documents, such as `<|endoftext|>`. Default: an empty line. */
  readonly separator?: string;
  /** Bytes that a document may have. Default 2^26. */
  readonly longest?: number;
  /** Bytes of the blocks of the file that `shuffle` reads in another order. Default 2^18. */
  readonly block?: number;
}

const rules: Rules<TextOptions> = {
  separator: mustBe.such('a text of at least one character', (v) => typeof v === 'string' && v !== ''),
  longest: mustBe.count,
  block: mustBe.count,
};

/** Whether the end of a separator is its start too: then where one is depends on where reading began. */
const overlapsItself = (text: string): boolean =>
  Array.from({ length: text.length - 1 }, (_, i) => i + 1).some((n) => text.endsWith(text.slice(0, n)));

const stage = 'text';

/**
 * The documents of a text file in UTF-8, those that are all white space left out. It is read by ranges as it goes, from disk, by HTTP or of a
 * `File`. Throws `file-missing`, `read-failed`; `bad-data`, with the line, for what is not UTF-8 or longer than `longest`.
 */
export const text = (place: FilePlace, options: TextOptions = {}): Stream<string> => {
  checkOptions('text', rules, options);
  const { separator = '\n\n', longest = 2 ** 26, block = 2 ** 18 } = options;
  const mark = new TextEncoder().encode(separator);
  const openFile = async (): Promise<{ readonly at: FileIn; readonly file: OpenFile }> => {
    const at = await fileAt(place);
    return { at, file: await at.files.open(at.path) };
  };
  const originAt =
    (start: number): Origin =>
    async () => {
      const { at, file } = await openFile();
      try {
        return `${nameOf(at)} line ${await lineOf(file, start)}`;
      } finally {
        await file.close();
      }
    };

  const between = (range: RecordRange, at: Cursor | undefined): Opened<string> => {
    const checked = at && checkCursor(stage, {}, at);
    const from = checked ? countIn(stage, checked, 'at') : range.from;
    let size: number | null = checked ? (checked['size'] as number | null) : null;
    let file: OpenFile | undefined;
    let reader: RecordReader | undefined;
    let start = from;
    /** Whether the next record starts where it stands, and not somewhere behind. */
    let isAligned = range.aligned || checked?.['aligned'] === true;
    const begin = async (): Promise<RecordReader> => {
      ({ file } = await openFile());
      if (size !== null) checkCursor(stage, { size: file.size }, checked);
      size = file.size;
      return recordReader(file, mark, { from, until: range.until, aligned: isAligned }, longest);
    };
    return opened({
      next: async () => {
        reader ??= await begin();
        for (;;) {
          start = reader.position();
          try {
            const record = await reader.next();
            isAligned = true;
            if (!record) return end;
            start = record.start;
            if (record.text.trim() !== '') return item(record.text);
          } catch (cause) {
            throw await located(originAt(start), cause);
          }
        }
      },
      cursor: () => cursorOf(stage, {}, { at: reader?.position() ?? from, size, aligned: isAligned }),
      begin: async () => {
        reader ??= await begin();
      },
      origin: () => originAt(start),
      close: async () => file?.close(),
    });
  };
  const whole: RecordRange = { from: 0, until: Number.POSITIVE_INFINITY, aligned: true };
  return {
    open: (at) => between(whole, at),
    ...(!overlapsItself(separator) && {
      parts: async () => {
        const { file } = await openFile();
        await file.close();
        const size = file.isSequential ? file.size : block;
        return {
          count: Math.ceil(file.size / size),
          single: false,
          open: (part, at) => between({ from: part * size, until: (part + 1) * size, aligned: part === 0 }, at),
        };
      },
    }),
  };
};
