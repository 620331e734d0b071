import { escape, svg } from '../report/svg.ts';
import type { Estimate } from './standing.ts';

const [width, left, right, top, bottom, step] = [760, 130, 30, 40, 40, 34];
const colours = ['#3f6bdd', '#d9822b'];

/** A line of the figure: an estimate for each series, where there is one. */
export interface FigureRow {
  readonly name: string;
  readonly estimates: readonly (Estimate | undefined)[];
}

/** Shares as points with whiskers of their spread, a line for each row; `series` are named above. */
export const shareFigure = (title: string, series: readonly string[], rows: readonly FigureRow[]): string => {
  const all = rows.flatMap(({ estimates }) => estimates.flatMap((own) => own ?? []));
  const ends = all.flatMap(({ mean, spread }) => [mean - (spread ?? 0), mean + (spread ?? 0)]);
  const [from, to] = [Math.floor(Math.min(...ends) * 20) / 20, Math.min(1, Math.ceil(Math.max(...ends) * 20) / 20)];
  const x = (share: number): number => left + ((share - from) / (to - from)) * (width - left - right);
  const height = top + bottom + rows.length * step;
  const ticks = Array.from({ length: Math.round((to - from) * 20) + 1 }, (_, i) => from + i / 20).map(
    (share) =>
      `<path d="M${x(share).toFixed(1)} ${top - 6}V${height - bottom}" stroke="#eee"/><text x="${x(share).toFixed(1)}" y="${height - bottom + 16}" text-anchor="middle">${Math.round(100 * share)} %</text>`,
  );
  const points = rows.flatMap(({ name, estimates }, i) => {
    const middle = top + (i + 0.5) * step;
    const marks = estimates.map((own, k) => {
      if (!own) return '';
      const y = middle + (k - (estimates.length - 1) / 2) * 10;
      const [low, high] = [own.mean - (own.spread ?? 0), own.mean + (own.spread ?? 0)];
      return (
        `<path d="M${x(low).toFixed(1)} ${y}H${x(Math.min(high, to)).toFixed(1)}" stroke="${colours[k]}" stroke-width="2"/>` +
        `<circle cx="${x(own.mean).toFixed(1)}" cy="${y}" r="4" fill="${colours[k]}"><title>${escape(`${name}, ${series[k]}: ${(100 * own.mean).toFixed(1)} %`)}</title></circle>`
      );
    });
    return [`<text x="${left - 10}" y="${middle + 4}" text-anchor="end">${escape(name)}</text>`, ...marks];
  });
  const legend = series.map(
    (name, k) =>
      `<circle cx="${left + 6 + 160 * k}" cy="16" r="4" fill="${colours[k]}"/><text x="${left + 16 + 160 * k}" y="20">${escape(name)}</text>`,
  );
  const axis = `<text x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">${escape(title)}</text>`;
  return svg(title, width, height, [...ticks, ...points, ...legend, axis].join('\n'));
};
