import type { Cells } from './align.ts';

const lineOf = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

const escape = (text: string): string => text.replaceAll('|', '\\|');

const isNumber = (text: string): boolean => /^(-|-?[\d,.]+( (%|MB|s|GB\/s|GiB|TFLOP\/s))?)$/.test(text);

/** A table in Markdown; columns of numbers stand to the right. */
export const markdown = ([head, ...rows]: Cells): string => {
  const rule = head!.map((_, i) => (rows.every((row) => isNumber(row[i]!)) ? '--:' : '---'));
  return [head!.map(escape), rule, ...rows.map((row) => row.map(escape))].map(lineOf).join('\n');
};
