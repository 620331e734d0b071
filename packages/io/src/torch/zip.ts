import type { OpenFile } from '../files/files.ts';
import { decodeUtf8 } from '../json.ts';
import { quote } from '../report.ts';

/** A file within an archive. */
export interface ZipEntry {
  /** Where its own header begins. */
  readonly header: number;
  /** Bytes; nothing is compressed. */
  readonly size: number;
}

const endBytes = 22;
const longestComment = 0xffff;
const locatorBytes = 20;
const most = 100_000;
const mostBytes = 2 ** 24;

/** Reads so many bytes at a place, or throws `SyntaxError`. */
export const readAt = async (file: OpenFile, at: number, count: number): Promise<DataView<ArrayBuffer>> => {
  if (!(at >= 0 && count <= file.size - at))
    throw new SyntaxError(`it should have ${count} bytes at ${at} and ends before`);
  const bytes = new Uint8Array(count);
  if ((await file.read(at, bytes)) < count) throw new SyntaxError('it was cut after it was opened');
  return new DataView(bytes.buffer);
};

const textAt = (view: DataView<ArrayBuffer>, at: number, length: number): string => {
  try {
    return decodeUtf8(new Uint8Array(view.buffer, at, length));
  } catch {
    throw new SyntaxError('a name in it is not UTF-8');
  }
};

/** Whether bytes begin as a zip archive does. */
export const isZip = (start: DataView): boolean => start.byteLength >= 4 && start.getUint32(0, true) === 0x04034b50;

const u64 = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

interface Directory {
  readonly at: number;
  readonly bytes: number;
  readonly count: number;
}

const directoryOf = async (file: OpenFile): Promise<Directory> => {
  const tail = Math.min(file.size, endBytes + longestComment);
  const view = await readAt(file, file.size - tail, tail);
  let end = tail - endBytes;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new SyntaxError('it is no zip archive, or is cut off');
  const small = {
    count: view.getUint16(end + 10, true),
    bytes: view.getUint32(end + 12, true),
    at: view.getUint32(end + 16, true),
  };
  const locator = end - locatorBytes;
  if (locator < 0 || view.getUint32(locator, true) !== 0x07064b50) return small;
  const large = await readAt(file, u64(view, locator + 8), 56);
  if (large.getUint32(0, true) !== 0x06064b50) throw new SyntaxError('the end of its list of files is not sound');
  return { count: u64(large, 32), bytes: u64(large, 40), at: u64(large, 48) };
};

/** Sizes and places above 4 GiB are in a field of their own, as many as do not fit. */
const wide = (view: DataView, from: number, to: number, values: readonly number[]): readonly number[] => {
  for (let at = from; at + 4 <= to; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    let next = at + 4;
    return values.map((value) => {
      if (value !== 0xffffffff) return value;
      if (next + 8 > to) throw new SyntaxError('the size of a file in it is missing');
      next += 8;
      return u64(view, next - 8);
    });
  }
  return values;
};

/**
 * The files of a zip archive, also of one above 4 GiB (zip64). None may be compressed or encrypted: torch writes none such.
 *
 * Throws `SyntaxError`. Source: PKWARE, APPNOTE.TXT 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */
export const readZip = async (file: OpenFile): Promise<ReadonlyMap<string, ZipEntry>> => {
  const { at: start, bytes, count } = await directoryOf(file);
  if (count > most || bytes > mostBytes)
    throw new SyntaxError(
      `its list of ${count} files takes ${bytes} bytes; at most ${most} files in ${mostBytes} bytes are read`,
    );
  const view = await readAt(file, start, bytes);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes || view.getUint32(at, true) !== 0x02014b50)
      throw new SyntaxError('its list of files is not sound');
    const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((o) => view.getUint16(at + o, true)) as [
      number,
      number,
      number,
    ];
    const extra = at + 46 + nameBytes;
    const next = extra + extraBytes + commentBytes;
    if (next > bytes) throw new SyntaxError('its list of files is not sound');
    const name = textAt(view, at + 46, nameBytes);
    const fields = [24, 20, 42].map((o) => view.getUint32(at + o, true));
    const [size, packed, header] = wide(view, extra, extra + extraBytes, fields) as [number, number, number];
    if (method !== 0 || size !== packed || (flags & 1) !== 0)
      throw new SyntaxError(`${quote(name)} in it is compressed or encrypted, which torch never does`);
    if (header + size > start) throw new SyntaxError(`${quote(name)} in it reaches beyond the end`);
    if (entries.has(name)) throw new SyntaxError(`it holds ${quote(name)} twice`);
    entries.set(name, { header, size });
    at = next;
  }
  return entries;
};

/** Where the bytes of a file begin: its own header may be of another length than the list says. */
export const startOfEntry = async (file: OpenFile, { header, size }: ZipEntry): Promise<number> => {
  const view = await readAt(file, header, 30);
  if (view.getUint32(0, true) !== 0x04034b50) throw new SyntaxError('the header of a file in it is not sound');
  const start = header + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  if (start + size > file.size) throw new SyntaxError('a file in it reaches beyond the end');
  return start;
};
