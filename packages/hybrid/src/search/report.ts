import type { SearchResult } from './search.ts';
import type { SearchPoint, SearchSpace } from './space.ts';
import type { Trial } from './trial.ts';

const shownLoss = (loss: number | null): string => (loss === null ? 'not finite' : loss.toFixed(4));

/** The trials of a search as a Markdown table, the lowest loss first; `*` marks those on the front. */
export const trialsTable = <S extends SearchSpace>({ trials, front }: SearchResult<S>): string => {
  const names = Object.keys(trials[0]?.point ?? {});
  const numbered = trials.map((trial, i) => ({ trial, number: i + 1 }));
  const sorted = numbered.sort(
    (a, b) => (a.trial.loss ?? Number.POSITIVE_INFINITY) - (b.trial.loss ?? Number.POSITIVE_INFINITY),
  );
  const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
  const value = (point: SearchPoint<S>, name: string): string => String(point[name]).replaceAll('|', '\\|');
  return [
    row(['trial', 'loss', 'parameters', ...names]),
    row(['--:', '--:', '--:', ...names.map(() => '--')]),
    ...sorted.map(({ trial, number }) =>
      row([
        `${number}${front.includes(trial) ? ' \\*' : ''}`,
        shownLoss(trial.loss),
        trial.parameters.toLocaleString('en'),
        ...names.map((name) => value(trial.point, name)),
      ]),
    ),
  ].join('\n');
};

const [width, height, left, bottom, top, right] = [560, 340, 62, 44, 30, 16];

/** A scale from the least to the most of some values, a little beyond both. */
const scaleOf = (values: readonly number[], from: number, to: number): ((v: number) => number) => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const beyond = 0.05 * (most - least || 1);
  return (v) => from + ((v - least + beyond) / (most - least + 2 * beyond)) * (to - from);
};

/** Five values from the least to the most. */
const ticks = (values: readonly number[]): number[] => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return most === least ? [least] : [0, 1, 2, 3, 4].map((i) => least + ((most - least) * i) / 4);
};

/**
 * A picture of a search in SVG: every trial by its parameters, on a logarithmic axis, and its loss, and the front as a line. Where no
 * parameters were counted, by its number.
 */
export const trialsFigure = <S extends SearchSpace>({ trials, front }: SearchResult<S>): string => {
  const counted = trials.some(({ parameters }) => parameters > 0);
  const sound = trials.flatMap((trial, i) =>
    trial.loss === null ? [] : [{ trial, at: counted ? Math.log10(trial.parameters) : i + 1 }],
  );
  const losses = sound.map(({ trial }) => trial.loss!);
  const x = scaleOf(
    sound.map(({ at }) => at),
    left,
    width - right,
  );
  const y = scaleOf(losses, height - bottom, top);
  const short = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 2 });
  const text = (at: number, down: number, anchor: string, content: string): string =>
    `<text x="${at.toFixed(1)}" y="${down.toFixed(1)}" text-anchor="${anchor}">${content}</text>`;
  const grid = ticks(losses).map(
    (loss) =>
      `<path d="M${left} ${y(loss).toFixed(1)}H${width - right}" stroke="#ddd"/>${text(left - 6, y(loss) + 4, 'end', loss.toFixed(3))}`,
  );
  const below = ticks(sound.map(({ at }) => at)).map((at) =>
    text(x(at), height - bottom + 18, 'middle', short.format(counted ? 10 ** at : at)),
  );
  const place = ({ loss, parameters }: Trial<S>): string =>
    `${x(Math.log10(parameters)).toFixed(1)} ${y(loss!).toFixed(1)}`;
  const line = counted
    ? `<path d="M${front.map(place).join('L')}" fill="none" stroke="#3f6bdd" stroke-width="1.8"/>`
    : '';
  const dots = sound.map(
    ({ trial, at }) =>
      `<circle cx="${x(at).toFixed(1)}" cy="${y(trial.loss!).toFixed(1)}" r="3.5" fill="${front.includes(trial) ? '#3f6bdd' : '#9aa3b2'}"/>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">`,
    `<title>Loss of ${sound.length} trials by their ${counted ? 'trained values' : 'number'}</title><rect width="100%" height="100%" fill="#fff"/>`,
    text(left, 18, 'start', 'loss'),
    text((left + width - right) / 2, height - 8, 'middle', counted ? 'trained values' : 'trial'),
    ...grid,
    ...below,
    line,
    ...dots,
    '</svg>\n',
  ].join('\n');
};
