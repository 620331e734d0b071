import type { Row } from '../run/measure.ts';
import { colourOf, escape, svg } from './svg.ts';

const [left, right, bar, gap, width] = [150, 190, 18, 30, 860];

const label = (row: Row): string => {
  if (row.rate === null) return 'failed';
  const rate = row.rate >= 100 ? Math.round(row.rate).toLocaleString('en') : row.rate.toPrecision(3);
  return `${rate} ${row.unit}, ${Math.round((row.peakBytes ?? 0) / 1e6)} MB${row.agrees ? '' : ', WRONG'}`;
};

/** Bars of one task, as long as the rate; whiskers show the slowest and fastest round. */
const taskBars = (rows: readonly Row[], top: number): string => {
  const most = Math.max(...rows.flatMap((row) => row.rounds), Number.MIN_VALUE);
  const x = (rate: number): number => left + ((width - left - right) * rate) / most;
  const lines = rows.map((row, i) => {
    const y = top + 24 + i * (bar + 4);
    const middle = y + bar / 2;
    const [low, high] = [Math.min(...row.rounds), Math.max(...row.rounds)];
    const whisker =
      row.rounds.length > 0
        ? `<path d="M${x(low).toFixed(1)} ${middle}H${x(high).toFixed(1)}" stroke="#222" stroke-width="1.5"/>`
        : '';
    return (
      `<text x="${left - 8}" y="${middle + 4}" text-anchor="end">${escape(row.stack)}</text>` +
      `<rect x="${left}" y="${y}" width="${Math.max(1, x(row.rate ?? 0) - left).toFixed(1)}" height="${bar}" rx="2" fill="${colourOf(row.stack)}"/>` +
      `${whisker}<text x="${(x(Math.max(high, row.rate ?? 0, 0)) + 8).toFixed(1)}" y="${middle + 4}">${escape(label(row))}</text>`
    );
  });
  return `<text x="8" y="${top + 14}" font-weight="600">${escape(rows[0]!.task)}</text>${lines.join('')}`;
};

/** A chart of all rows as SVG: a group of bars per task, longer is faster. */
export const barChart = (rows: readonly Row[]): string => {
  const names = [...new Set(rows.map((row) => row.task))];
  const tasks = names.map((name) => rows.filter((row) => row.task === name));
  let height = 12;
  const bodies = tasks.map((group) => {
    const body = taskBars(group, height);
    height += 24 + group.length * (bar + 4) + gap;
    return body;
  });
  return svg('Rates of all stacks, by task', width, height, bodies.join('\n'));
};
