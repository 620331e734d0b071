import type { FilePlace, OpenFile } from '@peftjs/io';
import { checkOptions, mustBe, PeftError, type Rules } from '@peftjs/tensor';
import { fileItems, type ItemReader } from './file-items.ts';
import { lineOf, type RecordReader, recordReader } from './record-reader.ts';
import type { Stream } from './stream.ts';

/** How a table of text is read. */
export interface CsvOptions {
  /** The character between two fields. Default `,`; `\t` for tabs. */
  readonly delimiter?: string;
  /** The names of the columns, where the file's first line has none. */
  readonly columns?: readonly string[];
  /** Bytes that a row may have. Default 2^26. */
  readonly longest?: number;
}

/** A row of a table: texts by the names of columns. */
export type CsvRow = Readonly<Record<string, string>>;

const rules: Rules<CsvOptions> = {
  delimiter: mustBe.such('one character', (v) => typeof v === 'string' && v.length === 1 && v !== '"' && v !== '\n'),
  columns: mustBe.such(
    'names of columns',
    (v) => Array.isArray(v) && v.length > 0 && v.every((name) => typeof name === 'string'),
  ),
  longest: mustBe.count,
};

type Fields = (row: string) => readonly string[];

const fieldsOf = async (delimiter: string): Promise<Fields> => {
  const { default: papaparse } = await import('papaparse');
  return (row) => {
    const { data, errors } = papaparse.parse<string[]>(row, { delimiter, newline: '\n' });
    const [fields] = data;
    if (errors.length === 0 && data.length === 1 && fields) return fields;
    throw new PeftError(
      'bad-data',
      `is no row of a table: ${errors[0]?.message ?? 'a quote stands within a field, and no field in quotes reaches over the end of the line'}. A field with a quote, the delimiter or a line break stands in quotes, and a quote in it is written twice.`,
    );
  };
};

const quotesIn = (text: string): number => {
  let count = 0;
  for (let at = text.indexOf('"'); at >= 0; at = text.indexOf('"', at + 1)) count++;
  return count;
};

/** The next row with its lines: a line break within quotes does not end it. Lines without a character are left out. */
const nextRow = async (
  lines: RecordReader,
  longest: number,
): Promise<{ readonly text: string; readonly start: number } | null> => {
  let first = await lines.next();
  while (first && first.text.trim() === '') first = await lines.next();
  if (!first) return null;
  const { start } = first;
  const rest = [first.text];
  let quotes = quotesIn(first.text);
  for (let size = first.text.length; quotes % 2 === 1; ) {
    const line = size > longest ? null : await lines.next();
    if (!line)
      throw new PeftError('bad-data', 'a quote that opens here is never closed; write a quote within a field twice');
    rest.push(line.text);
    quotes += quotesIn(line.text);
    size += line.text.length + 1;
  }
  const text = rest.join('\n');
  return { text: text.endsWith('\r') ? text.slice(0, -1) : text, start };
};

const namesOf = (fields: readonly string[]): readonly string[] => {
  const names = fields.map((name) => name.trim());
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  const problem = names.includes('') ? 'has a column without a name' : twice && `names the column ${twice} twice`;
  if (problem)
    throw new PeftError(
      'bad-data',
      `the first line ${problem}: ${names.join(', ')}. Correct it; of a file without names, give \`columns\`.`,
    );
  return names;
};

const readRows = async (
  file: OpenFile,
  at: number | null,
  { delimiter = ',', columns, longest = 2 ** 26 }: CsvOptions,
): Promise<ItemReader<CsvRow>> => {
  const fields = await fieldsOf(delimiter);
  const linesFrom = (from: number): RecordReader =>
    recordReader(
      file,
      Uint8Array.of(10),
      { from, until: Number.POSITIVE_INFINITY, aligned: true },
      // A row of many lines is as long as it may be in all.
      longest,
    );
  const head = linesFrom(0);
  const first = columns ? null : await nextRow(head, longest);
  if (!columns && !first) throw new PeftError('bad-data', 'is empty; its first line names the columns');
  const names = columns ?? namesOf(fields(first!.text));
  const lines = at === null ? head : linesFrom(at);
  return {
    next: async () => {
      const row = await nextRow(lines, longest);
      if (!row) return null;
      const values = fields(row.text);
      if (values.length !== names.length)
        throw new PeftError(
          'bad-data',
          `has ${values.length} fields, the columns are ${names.length}: ${names.join(', ')}. A field with the delimiter ${JSON.stringify(delimiter)} stands in quotes.`,
        );
      return { value: Object.fromEntries(names.map((name, i) => [name, values[i]!])), start: row.start };
    },
    position: () => lines.position(),
  };
};

/**
 * The rows of a table of text (RFC 4180, by Papa Parse): objects with a text for each column that the first line names. Fields in quotes may hold
 * line breaks. Throws `file-missing`, `read-failed`; `bad-data`, with the line, for rows with other fields than the columns and quotes that don't close.
 */
export const csv = (place: FilePlace, options: CsvOptions = {}): Stream<CsvRow> => {
  checkOptions('csv', rules, options);
  return fileItems(place, {
    stage: 'csv',
    made: { delimiter: options.delimiter ?? ',' },
    read: (file, at) => readRows(file, at, options),
    where: async (file, start) => `line ${await lineOf(file, start)}`,
  });
};
