import type { Row } from '../run/measure.ts';
import { line } from '../stats.ts';
import { scalingAxes } from '../tasks/scaling.ts';
import { type Curve, curvesOf, type Point } from './scaling.ts';
import { colourOf, escape, svg } from './svg.ts';

const [width, height, left, bottom, top] = [300, 210, 54, 34, 26];

interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
  readonly value: (point: Point) => number;
  /** Draws the straight line through the points. */
  readonly fit: boolean;
}

/** 1, 2 or 5 times a power of ten, about a quarter of the range. */
const stepOf = (most: number): number => {
  const power = 10 ** Math.floor(Math.log10(most / 4));
  return power * ([1, 2, 5, 10].find((n) => n * power >= most / 4) ?? 10);
};

const drawPanel = ({ title, curves, value, fit }: Panel, x0: number, y0: number): string => {
  const points = curves.flatMap((c) => c.points);
  const [mostX, mostY] = [Math.max(...points.map((p) => p.size)), Math.max(...points.map(value)) * 1.08];
  const x = (size: number): string => (x0 + left + ((width - left - 12) * size) / mostX).toFixed(1);
  const y = (v: number): string => (y0 + height - bottom - ((height - bottom - top) * v) / mostY).toFixed(1);
  const gap = stepOf(mostY);
  const grid = Array.from({ length: Math.floor(mostY / gap) + 1 }, (_, i) => i * gap).map(
    (v) =>
      `<path d="M${x(0)} ${y(v)}H${x(mostX)}" stroke="#ddd"/><text x="${x0 + left - 6}" y="${Number(y(v)) + 4}" text-anchor="end">${v.toLocaleString('en')}</text>`,
  );
  const ticks = [...new Set(points.map((p) => p.size))].map(
    (size) => `<text x="${x(size)}" y="${y0 + height - bottom + 16}" text-anchor="middle">${size}</text>`,
  );
  const drawn = curves.map(({ stack, points: own }) => {
    const colour = colourOf(stack);
    const { slope, offset } = line(own.map((p) => [p.size, value(p)]));
    const straight = fit
      ? `<path d="M${x(0)} ${y(Math.max(0, offset))}L${x(mostX)} ${y(slope * mostX + offset)}" stroke="${colour}" stroke-dasharray="3 3" opacity=".6"/>`
      : '';
    const path = own.map((p, i) => `${i ? 'L' : 'M'}${x(p.size)} ${y(value(p))}`).join('');
    const dots = own.map((p) => `<circle cx="${x(p.size)}" cy="${y(value(p))}" r="3.5" fill="${colour}"/>`).join('');
    return `${straight}<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.8"/>${dots}`;
  });
  return `<text x="${x0 + left}" y="${y0 + 16}" font-weight="600">${escape(title)}</text>${grid.join('')}${ticks.join('')}${drawn.join('')}`;
};

/** Step time and peak memory along sequence, batch and depth; dashed is the straight line through the points. */
export const scalingChart = (rows: readonly Row[]): string => {
  const curves = curvesOf(rows);
  const panels = scalingAxes.flatMap(({ axis }, column) => {
    const own = curves.filter((c) => c.axis === axis);
    if (own.length === 0) return [];
    const time = { title: `ms per step, by ${axis}`, curves: own, value: (p: Point) => p.ms, fit: axis !== 'tokens' };
    const peak = {
      title: `peak MB, by ${axis}`,
      curves: own,
      value: (p: Point) => p.peakBytes / 1e6,
      fit: false,
    };
    return [drawPanel(time, column * width, 24), drawPanel(peak, column * width, 24 + height)];
  });
  const stacks = [...new Set(curves.map((c) => c.stack))];
  const legend = stacks.map(
    (stack, i) =>
      `<rect x="${left + i * 120}" y="8" width="12" height="12" fill="${colourOf(stack)}"/><text x="${left + 18 + i * 120}" y="18">${escape(stack)}</text>`,
  );
  return svg(
    'Step time and peak memory by sequence, batch and depth',
    scalingAxes.length * width,
    2 * height + 24,
    [...legend, ...panels].join('\n'),
  );
};
