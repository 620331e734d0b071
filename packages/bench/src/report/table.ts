import type { Row } from '../run/measure.ts';
import { ratio } from '../stats.ts';
import { align, type Cells } from './align.ts';
import { headline } from './headline.ts';

const number = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(value >= 1 ? 3 : 2);

/** Whether a row stands, or why not. */
export const verdict = (row: Row): string => {
  if (row.failure !== undefined) return `failed: ${headline(row.failure)}`;
  return row.agrees ? 'agrees' : 'WRONG';
};

/** Columns that are there where some row has them: results of older days have none, and few machines tell of energy. */
const extras: readonly {
  readonly head: string;
  of(row: Row): number | undefined;
  text(value: number, row: Row): string;
}[] = [
  { head: 'first step', of: (row) => row.firstMs, text: (ms) => `${(ms / 1000).toFixed(1)} s` },
  { head: 'J per run', of: (row) => row.joules, text: (joules) => number(joules) },
];

/** The rows of one task; the column `x` compares each with the first, by the median of quotients within rounds. */
export const tableCells = ([first, ...others]: readonly [Row, ...Row[]]): Cells => {
  const all = [first, ...others];
  const extra = extras.filter(({ of }) => all.some((row) => of(row) !== undefined));
  const cells = all.map((row) => [
    row.stack,
    row.rate === null ? '-' : number(row.rate),
    // Of a single round there is none.
    row.spread === null || row.rounds.length < 2 ? '-' : `${(row.spread * 100).toFixed(1)} %`,
    row.rounds.length > 0 && first.rounds.length > 0 ? number(ratio(row.rounds, first.rounds)) : '-',
    row.peakBytes === null ? '-' : `${Math.round(row.peakBytes / 1e6)} MB`,
    row.startMs === null ? '-' : `${(row.startMs / 1000).toFixed(1)} s`,
    ...extra.map(({ of, text }) => {
      const value = of(row);
      return value === undefined ? '-' : text(value, row);
    }),
    verdict(row),
  ]);
  return [
    ['stack', first.unit, 'spread', `x ${first.stack}`, 'peak', 'start', ...extra.map(({ head }) => head), 'result'],
    ...cells,
  ];
};

/** The same lined up. */
export const table = ([first, ...others]: readonly Row[]): string =>
  first ? align(tableCells([first, ...others])) : '';
