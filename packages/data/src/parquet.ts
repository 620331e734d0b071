import { type FilePlace, fileAt, nameOf, type OpenFile } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import type { FileMetaData } from 'hyparquet';
import { checkCursor, countIn, cursorOf, inputIn } from './cursor.ts';
import { inOrder } from './in-order.ts';
import { located } from './map.ts';
import { end, item, opened, originOf } from './opened.ts';
import type { Cursor, Opened, Parts, Stream } from './stream.ts';

/** How a Parquet file is read. */
export interface ParquetOptions {
  /** The columns that are read. Default: all. */
  readonly columns?: readonly string[];
}

/** A row of a Parquet file: values by the names of columns. */
export type ParquetRow = Readonly<Record<string, unknown>>;

const rules: Rules<ParquetOptions> = {
  columns: mustBe.such(
    'names of columns',
    (v) => Array.isArray(v) && v.length > 0 && v.every((name) => typeof name === 'string'),
  ),
};

const stage = 'parquet rows';

/** Whole numbers of 64 bits as numbers, in lists and objects too. Throws `bad-data` for those that a number can't hold. */
const plain = (value: unknown): unknown => {
  if (typeof value === 'bigint') {
    if (Number.isSafeInteger(Number(value))) return Number(value);
    throw new PeftError('bad-data', `holds the whole number ${value}, which is too large for a number`);
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
};

const libraries = async () => {
  const [parquet, { compressors }] = await Promise.all([import('hyparquet'), import('hyparquet-compressors')]);
  return { ...parquet, compressors };
};

/** A file as the library reads it: by ranges. */
const bufferOf = (file: OpenFile) => ({
  byteLength: file.size,
  slice: async (start: number, end: number = file.size): Promise<ArrayBuffer> => {
    const bytes = new Uint8Array(Math.min(end, file.size) - start);
    const got = await file.read(start, bytes);
    if (got < bytes.length)
      throw new PeftError('read-failed', `the file ends at byte ${start + got}, it had ${file.size} bytes`);
    return bytes.buffer;
  },
});

interface ParquetFile {
  readonly file: OpenFile;
  readonly metadata: FileMetaData;
  /** Where each group of rows begins, and after the last one their number. */
  readonly starts: readonly number[];
  rows(start: number, end: number): Promise<readonly ParquetRow[]>;
}

const openParquet = async (place: FilePlace, { columns }: ParquetOptions): Promise<ParquetFile> => {
  const at = await fileAt(place);
  const file = await at.files.open(at.path);
  try {
    const { parquetMetadataAsync, parquetReadObjects, compressors } = await libraries();
    const buffer = bufferOf(file);
    const metadata = await parquetMetadataAsync(buffer);
    const names = metadata.schema[0]!.num_children === undefined ? [] : topColumns(metadata);
    const missing = columns?.filter((name) => !names.includes(name)) ?? [];
    if (missing.length > 0)
      throw new PeftError('bad-data', `has no column ${missing.join(', ')}; it has ${names.join(', ')}`);
    const starts = [0];
    for (const { num_rows } of metadata.row_groups) starts.push(starts.at(-1)! + Number(num_rows));
    return {
      file,
      metadata,
      starts,
      rows: (rowStart, rowEnd) =>
        parquetReadObjects({
          file: buffer,
          metadata,
          compressors,
          rowStart,
          rowEnd,
          // Bytes stay bytes, as those of an image; texts are marked as such in the file.
          utf8: false,
          ...(columns && { columns: [...columns] }),
        }),
    };
  } catch (cause) {
    await file.close();
    throw await located(async () => nameOf(at), cause);
  }
};

/** The names of a schema's columns at its top, which it lists in depth-first order. */
const topColumns = ({ schema }: FileMetaData): readonly string[] => {
  const names: string[] = [];
  const after = (at: number): number => {
    let next = at + 1;
    for (let child = 0; child < (schema[at]!.num_children ?? 0); child++) next = after(next);
    return next;
  };
  let at = 1;
  for (let child = 0; child < (schema[0]!.num_children ?? 0); child++) {
    names.push(schema[at]!.name);
    at = after(at);
  }
  return names;
};

/** The rows of one group. */
const groupRows = (place: FilePlace, options: ParquetOptions, group: number, at?: Cursor): Opened<ParquetRow> => {
  const made = { group };
  const checked = at && checkCursor(stage, made, at);
  let [next, size] = [checked ? countIn(stage, checked, 'row') : 0, (checked?.['size'] as number | null) ?? null];
  let rows: readonly ParquetRow[] | undefined;
  let first = 0;
  const originAt = (row: number) => async () => `${nameOf(await fileAt(place))} row ${first + row}`;
  const load = async (): Promise<void> => {
    const { file, starts, rows: read } = await openParquet(place, options);
    try {
      if (size !== null) checkCursor(stage, { size: file.size }, checked);
      size = file.size;
      first = starts[group]!;
      rows = await read(first, starts[group + 1]!);
    } catch (cause) {
      throw await located(async () => `${nameOf(await fileAt(place))}, rows from ${first}`, cause);
    } finally {
      await file.close();
    }
  };
  return opened({
    next: async () => {
      if (!rows) await load();
      if (next >= rows!.length) return end;
      const row = next++;
      try {
        return item(plain(rows![row]) as ParquetRow);
      } catch (cause) {
        throw await located(originAt(row), cause);
      }
    },
    cursor: () => cursorOf(stage, made, { row: next, size }),
    begin: async () => {
      if (!rows) await load();
    },
    origin: () => originAt(next - 1),
  });
};

/**
 * The rows of a Parquet file (by hyparquet), read by ranges: one group of rows is in memory at a time, and resuming within one reads it again.
 * Its groups are parts that `shuffle` reads in another order. Columns of bytes stay bytes; numbers of 64 bits become numbers. Throws
 * `file-missing`, `read-failed`; `bad-data` for what is no Parquet file, columns that are not there, and numbers beyond 2^53.
 */
export const parquet = (place: FilePlace, options: ParquetOptions = {}): Stream<ParquetRow> => {
  checkOptions('parquet', rules, options);
  const parts = async (): Promise<Parts<ParquetRow>> => {
    const { file, metadata } = await openParquet(place, options);
    await file.close();
    return {
      count: metadata.row_groups.length,
      single: false,
      open: (group, at) => groupRows(place, options, group, at),
    };
  };
  const open = (at?: Cursor): Opened<ParquetRow> => {
    const before = at ? inputIn('parquet', checkCursor('parquet', {}, at)) : null;
    let from: Opened<ParquetRow> | undefined;
    const begin = async (): Promise<Opened<ParquetRow>> => {
      const groups = await parts();
      return inOrder(
        groups,
        Uint32Array.from({ length: groups.count }, (_, i) => i),
        before ?? undefined,
      );
    };
    return opened({
      next: async () => {
        from ??= await begin();
        return from.next();
      },
      cursor: () => cursorOf('parquet', {}, { input: from?.cursor() ?? before }),
      begin: async () => {
        from ??= await begin();
        await from.begin?.();
      },
      origin: () => originOf(from!, 0),
      close: async () => from?.return?.(),
    });
  };
  return { open, parts };
};
