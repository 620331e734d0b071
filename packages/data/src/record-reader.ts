import type { OpenFile } from '@peftjs/io';
import { PeftError } from '@peftjs/tensor';

/** A run of bytes between two separators: its text, and where it starts in the file. */
export interface FileRecord {
  readonly text: string;
  readonly start: number;
}

/** The part of a file that is read. */
export interface RecordRange {
  /** The first byte that counts; a record that starts before it does not. */
  readonly from: number;
  /** Records that start here or later don't count. */
  readonly until: number;
  /** Whether `from` is the start of a record, and not a byte anywhere. */
  readonly aligned: boolean;
}

/** Records one by one, null after the last; `position` is where the next one starts. */
export interface RecordReader {
  next(): Promise<FileRecord | null>;
  position(): number;
}

/** Bytes that are read at once; more where a record is longer. */
const chunk = 2 ** 18;

const indexOf = (bytes: Uint8Array, separator: Uint8Array, from: number): number => {
  for (let i = bytes.indexOf(separator[0]!, from); i >= 0; i = bytes.indexOf(separator[0]!, i + 1)) {
    if (i + separator.length > bytes.length) return -1;
    if (separator.every((byte, k) => bytes[i + k] === byte)) return i;
  }
  return -1;
};

/**
 * Reads records of a file one by one. No more than a record and a chunk of bytes is in memory; a
 * record longer than `longest` bytes is `bad-data`, as is one that is not UTF-8.
 */
export const recordReader = (
  file: OpenFile,
  separator: Uint8Array,
  range: RecordRange,
  longest: number,
): RecordReader => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  // A separator that ends where the range begins is needed to see that a record starts there.
  let base = range.aligned ? range.from : Math.max(0, range.from - separator.length);
  let bytes: Uint8Array = new Uint8Array(0);
  let isAligned = range.aligned || range.from === 0;
  let position = range.from;

  /** Reads on; false at the end of the file. What is read grows with what is waiting, so that a long record costs no copy for each chunk. */
  const more = async (): Promise<boolean> => {
    const at = base + bytes.length;
    const wanted = Math.min(Math.max(chunk, bytes.length), file.size - at);
    if (wanted <= 0) return false;
    const grown = new Uint8Array(bytes.length + wanted);
    grown.set(bytes);
    const got = await file.read(at, grown.subarray(bytes.length));
    if (got < wanted)
      throw new PeftError('read-failed', `the file ends at byte ${at + got}, it had ${file.size} bytes`);
    bytes = grown;
    return true;
  };
  /** The place of the next separator from `position` on, or of the end of the file. */
  const nextEnd = async (until: number): Promise<number> => {
    let seen = position - base;
    for (;;) {
      const at = indexOf(bytes, separator, seen);
      if (at >= 0) return base + at;
      seen = Math.max(position - base, bytes.length - separator.length + 1);
      if (base + seen >= until) return until;
      if (bytes.length - (position - base) > longest)
        throw new PeftError(
          'bad-data',
          `no separator comes within ${longest} bytes. Give the separator that the file has, or a larger \`longest\`.`,
        );
      // What lies before the next record is not needed any more.
      bytes = bytes.subarray(position - base);
      seen -= position - base;
      base = position;
      if (!(await more())) return file.size;
    }
  };

  const next = async (): Promise<FileRecord | null> => {
    if (!isAligned) {
      position = base;
      position = (await nextEnd(range.until)) + separator.length;
      isAligned = true;
    }
    if (position >= Math.min(range.until, file.size)) return null;
    const start = position;
    const end = await nextEnd(file.size);
    const record = bytes.subarray(start - base, end - base);
    position = Math.min(end + separator.length, file.size);
    try {
      const text = decoder.decode(record);
      return { text: start === 0 ? text.replace(/^\ufeff/, '') : text, start };
    } catch (cause) {
      throw new PeftError('bad-data', 'it is not UTF-8. Write the file again in that encoding.', { cause });
    }
  };
  return { next, position: () => position };
};

/** The line in which a byte of a file lies, counted from 1. */
export const lineOf = async (file: OpenFile, at: number): Promise<number> => {
  const bytes = new Uint8Array(Math.min(at, chunk));
  let line = 1;
  for (let start = 0; start < at; start += bytes.length) {
    const part = bytes.subarray(0, await file.read(start, bytes.subarray(0, Math.min(bytes.length, at - start))));
    for (let i = part.indexOf(10); i >= 0; i = part.indexOf(10, i + 1)) line++;
    if (part.length === 0) break;
  }
  return line;
};
