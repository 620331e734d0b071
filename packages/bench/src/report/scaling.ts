import type { Row } from '../run/measure.ts';
import { line } from '../stats.ts';
import { scaling, scalingAxes } from '../tasks/scaling.ts';
import { align, type Cells } from './align.ts';

/** One measured point of one stack. */
export interface Point {
  readonly size: number;
  readonly ms: number;
  readonly peakBytes: number;
}

/** The figures of one stack along one axis. */
export interface Curve {
  readonly axis: string;
  readonly stack: string;
  readonly points: readonly Point[];
}

const tokensOf = (task: string): number => {
  const { batch, tokens } = scaling.find(({ name }) => name === task)!;
  return batch * tokens;
};

/** The rows of the scaling tasks by axis and stack, where there are at least two points. */
export const curvesOf = (rows: readonly Row[]): Curve[] =>
  scalingAxes.flatMap(({ axis }) => {
    const own = rows.filter((row) => row.task.startsWith(`scaling-${axis}-`) && row.rate !== null);
    return [...new Set(own.map((row) => row.stack))]
      .map((stack) => ({
        axis,
        stack,
        points: own
          .filter((row) => row.stack === stack)
          .map((row) => ({
            size: Number(row.task.split('-').at(-1)),
            ms: (tokensOf(row.task) / row.rate!) * 1000,
            peakBytes: row.peakBytes!,
          })),
      }))
      .filter(({ points }) => points.length > 1);
  });

/** The largest distance of a point from the straight line through all, as a share of the point: a jump shows here. */
const worst = (points: readonly Point[]): number => {
  const { slope, offset } = line(points.map(({ size, ms }) => [size, ms]));
  return Math.max(...points.map(({ size, ms }) => Math.abs(ms - (slope * size + offset)) / ms));
};

/** Step time and memory along each axis, and how straight the line is. */
export const scalingCells = (rows: readonly Row[]): Cells => {
  const head = ['axis', 'stack', 'ms per step', 'peak MB', 'ms per unit', 'at 0', 'r2', 'off the line'];
  const cells = curvesOf(rows).map(({ axis, stack, points }) => {
    const { slope, offset, r2 } = line(points.map(({ size, ms }) => [size, ms]));
    return [
      axis,
      stack,
      points.map(({ size, ms }) => `${size}: ${ms.toFixed(0)}`).join('  '),
      points.map(({ size, peakBytes }) => `${size}: ${Math.round(peakBytes / 1e6)}`).join('  '),
      slope.toPrecision(3),
      offset.toFixed(1),
      r2.toFixed(4),
      `${(100 * worst(points)).toFixed(0)} %`,
    ];
  });
  return [head, ...cells];
};

/** The same lined up. */
export const scalingTable = (rows: readonly Row[]): string => align(scalingCells(rows));
