import type { ProgressStream } from '@peftjs/trainer';
import wrapAnsi from 'wrap-ansi';

/** Columns that a text beside a name needs; in fewer it goes on below the name. */
const leastBeside = 24;

/** The columns before the text of a line: those of a name that stands in front of it, two spaces or more between them, or the line's indentation. */
const indentOf = (line: string, columns: number): number => {
  const [front = ''] = /^ *\S+(?: \S+)* {2,}(?=\S)/.exec(line) ?? /^ */.exec(line) ?? [];
  return front.includes('\u001b') || columns - front.length < leastBeside ? 0 : front.length;
};

/** A line in lines of so many columns, broken between words; what goes on stands below where its text began. */
const broken = (line: string, columns: number): string => {
  const indent = indentOf(line, columns);
  const text = wrapAnsi(line.slice(indent), columns - indent, { trim: false }).replaceAll(/ *\n ?/g, '\n');
  return line.slice(0, indent) + text.replaceAll('\n', `\n${' '.repeat(indent)}`);
};

/** Writes text; on a terminal, lines break between words. */
export const say = (stream: ProgressStream, text: string): void => {
  const { isTTY, columns } = stream;
  const lines = text.split('\n');
  stream.write(isTTY && columns ? lines.map((line) => broken(line, columns)).join('\n') : text);
};

/** A text that was cut off after so many tokens, up to its last whole word. */
export const wholeWords = (text: string): string => {
  const end = text.search(/\s\S*$/);
  return end > 0 ? `${text.slice(0, end)} …` : text;
};

/** Rows in columns of equal width: the first to the left, figures to the right; of a narrow terminal as many whole columns as fit, the first in any case. */
export const aligned = (rows: readonly (readonly string[])[], columns: number = Number.POSITIVE_INFINITY): string => {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  let [fit, width] = [1, widths[0]!];
  while (fit < widths.length && width + 2 + widths[fit]! <= columns) width += 2 + widths[fit++]!;
  return rows
    .map((row) =>
      row
        .slice(0, fit)
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  '),
    )
    .join('\n');
};
