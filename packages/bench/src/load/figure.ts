import { escape, svg } from '../report/svg.ts';
import type { Load } from './load.ts';

const [width, height, left, right] = [860, 460, 70, 20];
const top = { from: 40, to: 250 };
const bottom = { from: 300, to: 420 };

/** 0 and so many steps of 1, 2 or 5 · 10ⁿ up to the first above a value. */
const ticks = (most: number): number[] => {
  const raw = most / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw)!;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
};

/** New tokens a second by moments, each over a span of at least half a minute or all there was: answers come in one piece. */
export const ratesOf = (moments: Load['moments']): readonly (readonly [seconds: number, rate: number])[] =>
  moments.flatMap((moment, i): [number, number][] => {
    const since = moments.findLast((one, j) => j < i && moment.seconds - one.seconds >= 30) ?? moments[0]!;
    return moment.seconds - since.seconds >= 5
      ? [[moment.seconds, (moment.tokens - since.tokens) / (moment.seconds - since.seconds)]]
      : [];
  });

/** Tokens a second of all clients over time, beside one client; below, the memory of the server. */
export const loadFigure = ({ clients, adapters, one, moments }: Load): string => {
  const end = moments.at(-1)!.seconds;
  const x = (seconds: number): number => left + (seconds / end) * (width - left - right);
  const rates = ratesOf(moments);
  const memory = moments.map(({ seconds, residentBytes }) => [seconds, residentBytes / 2 ** 20] as const);
  const panel = (
    { from, to }: typeof top,
    name: string,
    points: readonly (readonly [number, number])[],
    most: number,
    colour: string,
  ): { readonly body: string; readonly y: (v: number) => number } => {
    const marks = ticks(most);
    const y = (v: number): number => to - (v / marks.at(-1)!) * (to - from);
    const grid = marks.map(
      (v) =>
        `<path d="M${left} ${y(v).toFixed(1)}H${width - right}" stroke="#eee"/><text x="${left - 6}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end">${v.toLocaleString('en')}</text>`,
    );
    const path = points.map(([s, v], i) => `${i === 0 ? 'M' : 'L'}${x(s).toFixed(1)} ${y(v).toFixed(1)}`).join('');
    return {
      body: `${grid.join('')}<text x="${left}" y="${from - 12}" font-weight="600">${escape(name)}</text><path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      y,
    };
  };
  const speed = panel(
    top,
    `new tokens a second: ${clients} clients, ${adapters} adapters`,
    rates,
    Math.max(one.tokensPerSecond, ...rates.map(([, rate]) => rate)) * 1.05,
    '#3f6bdd',
  );
  const oneY = speed.y(one.tokensPerSecond);
  const beside = `<path d="M${left} ${oneY.toFixed(1)}H${width - right}" stroke="#d9822b" stroke-width="2" stroke-dasharray="6 4"/><text x="${(left + width - right) / 2}" y="${(oneY + 16).toFixed(1)}" text-anchor="middle" fill="#a65a10">one client: ${one.tokensPerSecond.toFixed(0)}</text>`;
  const resident = panel(
    bottom,
    'resident memory of the server, MiB',
    memory,
    Math.max(...memory.map(([, mib]) => mib)),
    '#7c4dbd',
  );
  const minutes = Array.from({ length: Math.floor(end / 60) + 1 }, (_, i) => i);
  const every = Math.max(1, Math.ceil(minutes.length / 11));
  const times = minutes
    .filter((minute) => minute % every === 0)
    .map((minute) => `<text x="${x(minute * 60).toFixed(1)}" y="${height - 22}" text-anchor="middle">${minute}</text>`);
  const axis = `<text x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">minutes</text>`;
  return svg(
    `Tokens a second of ${clients} clients beside one, and the server's memory`,
    width,
    height,
    speed.body + beside + resident.body + times.join('') + axis,
  );
};
