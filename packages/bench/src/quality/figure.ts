import { escape, svg } from '../report/svg.ts';
import type { Standing } from './standing.ts';

const [width, height, left, right, top, bottom] = [860, 680, 60, 130, 40, 46];
const [foldsColour, othersColour] = ['#3f6bdd', '#d9822b'];

/** The room of a name. */
interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

const meet = (a: Box, b: Box): boolean => Math.abs(a.y - b.y) < 12 && a.x < b.x + b.width && b.x < a.x + a.width;

/** 2,000; 2 M. */
const shortCount = (n: number): string => (n >= 1e6 ? `${n / 1e6} M` : n.toLocaleString('en'));

/** Held-out loss against trained parameters, on a logarithmic axis; the names of points that have room for one beside them. */
export const qualityFigure = (
  methods: readonly Standing[],
  baseLoss: number,
  folds: (method: string) => boolean,
): string => {
  const logs = methods.map(({ parameters }) => Math.log10(parameters));
  const [from, to] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))];
  const losses = methods.map(({ loss }) => Math.min(loss, baseLoss + 0.02));
  const [low, high] = [Math.floor(Math.min(...losses) * 50) / 50, Math.ceil(Math.max(...losses, baseLoss) * 50) / 50];
  const x = (log: number): number => left + ((log - from) / (to - from)) * (width - left - right);
  const y = (loss: number): number => top + ((high - loss) / (high - low)) * (height - top - bottom);
  const lines = Array.from({ length: Math.round((high - low) / 0.02) + 1 }, (_, i) => low + i * 0.02).map(
    (v) =>
      `<path d="M${left} ${y(v).toFixed(1)}H${width - right}" stroke="#eee"/><text x="${left - 6}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end">${v.toFixed(2)}</text>`,
  );
  const ticks = Array.from({ length: to - from + 1 }, (_, i) => from + i).map(
    (log) =>
      `<text x="${x(log).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle">${shortCount(10 ** log)}</text>`,
  );
  const baseLine = `<path d="M${left} ${y(baseLoss).toFixed(1)}H${width - right}" stroke="#555" stroke-dasharray="4 3"/><text x="${left + 4}" y="${(y(baseLoss) - 5).toFixed(1)}" fill="#555">the base model</text>`;
  const taken: Box[] = [];
  const points = methods.map(({ method, parameters, loss }, i) => {
    const at = { x: x(logs[i]!), y: y(losses[i]!) };
    const width = 14 + method.length * 6.2;
    const sides = [at.x, at.x - width].map((from) => ({ x: from, y: at.y, width }));
    const box = sides.find((side) => side.x > left && !taken.some((other) => meet(side, other)));
    if (box) taken.push(box);
    const isRight = box === sides[0];
    const name = box
      ? `<text x="${(at.x + (isRight ? 8 : -8)).toFixed(1)}" y="${(at.y + 4).toFixed(1)}"${isRight ? '' : ' text-anchor="end"'}>${escape(method)}</text>`
      : '';
    const colour = folds(method) ? foldsColour : othersColour;
    return `<circle cx="${at.x.toFixed(1)}" cy="${at.y.toFixed(1)}" r="4" fill="${colour}" fill-opacity=".75"><title>${escape(`${method}: ${parameters.toLocaleString('en')} trained, ${loss.toFixed(4)} nats`)}</title></circle>${name}`;
  });
  const legend = [
    [foldsColour, 'folds into the weights'],
    [othersColour, 'does not'],
  ].map(
    ([colour, label], i) =>
      `<circle cx="${left + 8 + 190 * i}" cy="16" r="4" fill="${colour}"/><text x="${left + 18 + 190 * i}" y="20">${label}</text>`,
  );
  const axes =
    `<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">trained parameters</text>` +
    `<text x="16" y="${height / 2}" text-anchor="middle" transform="rotate(-90 16 ${height / 2})">held-out loss (nats a token)</text>`;
  return svg(
    'Held-out loss against trained parameters',
    width,
    height,
    [...lines, ...ticks, baseLine, ...points, ...legend, axes].join('\n'),
  );
};
