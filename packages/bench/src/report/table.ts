import type { Row } from '../run/measure.ts';
import { ratio } from '../stats.ts';
import { align } from './align.ts';

const number = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(value >= 1 ? 3 : 2);

/** The line of a child's last words that says most. */
const headline = (words: string): string => {
  const lines = words.split('\n').map((text) => text.trim());
  return lines.find((text) => /\w*Error\b.*:/.test(text)) ?? lines.at(-1)!;
};

const verdict = (row: Row): string => {
  if (row.failure !== undefined) return `failed: ${headline(row.failure)}`;
  return row.agrees ? 'agrees' : 'WRONG';
};

/** The rows of one task as a table; the column `x` compares each with the first row, by the median of quotients within rounds. */
export const table = (rows: readonly Row[]): string => {
  const [first] = rows;
  if (!first) return '';
  const cells = rows.map((row) => [
    row.stack,
    row.rate === null ? '-' : number(row.rate),
    row.spread === null ? '-' : `${(row.spread * 100).toFixed(1)} %`,
    row.rounds.length > 0 && first.rounds.length > 0 ? number(ratio(row.rounds, first.rounds)) : '-',
    row.peakBytes === null ? '-' : `${Math.round(row.peakBytes / 1e6)} MB`,
    row.startMs === null ? '-' : `${(row.startMs / 1000).toFixed(1)} s`,
    verdict(row),
  ]);
  return align([['stack', first.unit, 'spread', `x ${first.stack}`, 'peak', 'start', ''], ...cells]);
};
