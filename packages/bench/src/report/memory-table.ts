import type { Row } from '../run/measure.ts';
import { line } from '../stats.ts';
import { memory } from '../tasks/memory.ts';
import { align } from './align.ts';

const megabytes = (bytes: number | undefined): string => (bytes === undefined ? '-' : `${(bytes / 1e6).toFixed(1)} MB`);

/** How the process of each stack grew with the plan: a slope of 1 means that planned bytes are real ones; the rest is the runtime's. */
const growths = (rows: readonly Row[]): string[] =>
  [...new Set(rows.map((row) => row.stack))].flatMap((stack) => {
    const points = rows.flatMap(({ stack: own, task, peakBytes, memory: known }): [number, number][] => {
      const isPoint = own === stack && memory.some(({ name }) => name === task) && peakBytes !== null;
      return isPoint && known ? [[known['planned']! / 1e6, (peakBytes - known['idle']!) / 1e6]] : [];
    });
    if (points.length < 3) return [];
    const { slope, offset, r2 } = line(points);
    return [`${stack}: process = ${slope.toFixed(3)} x planned + ${offset.toFixed(0)} MB, r2 ${r2.toFixed(4)}`];
  });

/**
 * What each device is worth: the peak that was planned before the first run, what the executor then held (on WebGPU its buffers), and what
 * the process grew by since the executor was opened, weights included.
 */
export const memoryTable = (rows: readonly Row[]): string => {
  const head = ['', 'stack', 'tokens/s', 'planned', 'held', 'process', 'planned / held', ''];
  const cells = memory.flatMap(({ name, about }) =>
    rows
      .filter((row) => row.task === name)
      .map((row) => {
        const { planned, held, idle } = row.memory ?? {};
        return [
          about,
          row.stack,
          row.rate === null ? '-' : row.rate.toFixed(row.rate < 100 ? 1 : 0),
          megabytes(planned),
          megabytes(held),
          row.peakBytes === null || idle === undefined ? '-' : megabytes(row.peakBytes - idle),
          planned === undefined || !held ? '-' : `${((100 * planned) / held).toFixed(1)} %`,
          row.failure ?? (row.agrees ? '' : 'WRONG'),
        ];
      }),
  );
  return [align([head, ...cells]), ...growths(rows)].join('\n');
};
