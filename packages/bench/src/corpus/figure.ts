import { escape, svg } from '../report/svg.ts';
import type { Corpus, Moment } from './corpus.ts';

const [width, left, right, height] = [860, 70, 20, 190];
const colours = ['#3f6bdd', '#d9822b', '#7c4dbd', '#3a9b6f'];

type Points = readonly (readonly [x: number, y: number])[];

/** Tokens for each second of a processor, between neighbouring moments. */
const speeds = (moments: readonly Moment[]): Points =>
  moments.slice(1).flatMap((now, i): [number, number][] => {
    const before = moments[i]!;
    // The end may follow another moment at once.
    if (now.bytes - before.bytes < 5e6) return [];
    return [[now.bytes / 1e6, (now.tokens - before.tokens) / (now.work - before.work)]];
  });

const memory = (moments: readonly Moment[]): Points =>
  moments.map(({ bytes, resident }) => [bytes / 1e6, resident / 1e6]);

const panel = (title: string, top: number, most: number, lines: readonly Points[]): string => {
  const highest = Math.max(...lines.flat().map(([, y]) => y)) * 1.1;
  const at = ([x, y]: readonly [number, number]): string =>
    `${(left + (x / most) * (width - left - right)).toFixed(1)} ${(top + height - (y / highest) * height).toFixed(1)}`;
  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const y = (top + height * (1 - share)).toFixed(1);
    return `<path d="M${left} ${y}H${width - right}" stroke="#eee"/><text x="${left - 6}" y="${Number(y) + 4}" text-anchor="end">${Math.round(share * highest).toLocaleString('en')}</text>`;
  });
  const paths = lines.map(
    (points, i) =>
      `<path d="M${points.map(at).join('L')}" fill="none" stroke="${colours[i % colours.length]}" stroke-width="2"/>`,
  );
  return `${grid.join('')}<text x="${left}" y="${top - 10}" font-weight="600">${escape(title)}</text>${paths.join('')}`;
};

/** Memory and speed over the megabytes of a file, a line for each model. */
export const corpusFigure = (all: readonly Corpus[]): string => {
  const most = Math.max(...all.map(({ bytes }) => bytes)) / 1e6;
  const names = all.map(
    ({ model }, i) =>
      `<text x="${left + 170 * i}" y="${2 * height + 150}" fill="${colours[i % colours.length]}" font-weight="600">${escape(model)}</text>`,
  );
  const marks = Array.from({ length: 11 }, (_, i) => (i * most) / 10).map(
    (mb) =>
      `<text x="${(left + (mb / most) * (width - left - right)).toFixed(1)}" y="${2 * height + 112}" text-anchor="middle">${mb.toFixed(0)}</text>`,
  );
  return svg(
    'Resident memory and tokens a second over the megabytes of a corpus',
    width,
    2 * height + 165,
    panel(
      'resident memory, MB',
      30,
      most,
      all.map(({ moments }) => memory(moments)),
    ) +
      panel(
        'tokens a second of a processor',
        height + 90,
        most,
        all.map(({ moments }) => speeds(moments)),
      ) +
      marks.join('') +
      names.join('') +
      `<text x="${width - right}" y="${2 * height + 130}" text-anchor="end">megabytes of the file that were read</text>`,
  );
};
