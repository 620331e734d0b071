/** A table: a row of heads and rows of as many cells. */
export type Cells = readonly (readonly string[])[];

/** Lines up the columns of a table: the first to the left, the others to the right, the last as it is. */
export const align = (cells: Cells): string => {
  const last = cells[0]!.length - 1;
  const widths = cells[0]!.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const pad = (text: string, i: number): string =>
    i === 0 ? text.padEnd(widths[i]!) : i === last ? text : text.padStart(widths[i]!);
  return cells.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
};
