import type { Row } from '../run/measure.ts';
import { line } from '../stats.ts';
import { memory } from '../tasks/memory.ts';
import { align, type Cells } from './align.ts';
import { verdict } from './table.ts';

const megabytes = (bytes: number | undefined): string => (bytes === undefined ? '-' : `${(bytes / 1e6).toFixed(1)} MB`);

/** How the process of each stack grew with the plan: a slope of 1 means that planned bytes are real ones; the rest is the runtime's. */
export const growths = (rows: readonly Row[]): string[] =>
  [...new Set(rows.map((row) => row.stack))].flatMap((stack) => {
    const points = rows.flatMap(({ stack: own, task, peakBytes, memory: known }): [number, number][] => {
      const isPoint = own === stack && memory.some(({ name }) => name === task) && peakBytes !== null;
      return isPoint && known ? [[known['planned']! / 1e6, (peakBytes - known['idle']!) / 1e6]] : [];
    });
    if (points.length < 3) return [];
    const { slope, offset, r2 } = line(points);
    const rest = `${offset < 0 ? '-' : '+'} ${Math.abs(offset).toFixed(0)} MB`;
    return [`${stack}: process = ${slope.toFixed(3)} x planned ${rest}, r2 ${r2.toFixed(4)}`];
  });

/**
 * The worth of each device: the peak that was planned before the first run, what the executor then held (on WebGPU its buffers), and what
 * the process grew by since the executor was opened, weights included.
 */
export const memoryCells = (rows: readonly Row[]): Cells => {
  const head = ['with', 'stack', 'tokens/s', 'planned', 'held', 'process', 'planned / held', 'result'];
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
          verdict(row),
        ];
      }),
  );
  return [head, ...cells];
};

/** How far a process may grow beyond its plan: a tenth, and what the runtime takes for itself. */
const allowed = (planned: number): number => 0.1 * planned + 60e6;

/** The planned peak of each training step beside what the process grew by since the executor was opened. */
export const processCells = (rows: readonly Row[]): Cells => [
  ['task', 'stack', 'planned', 'process', 'more', 'within 10 % + 60 MB'],
  ...rows.flatMap(({ task, stack, peakBytes, memory: known }) => {
    const { planned, idle } = known ?? {};
    if (planned === undefined || idle === undefined || peakBytes === null || !stack.startsWith('ours-cpu')) return [];
    const grew = peakBytes - idle;
    const isWithin = grew - planned <= allowed(planned);
    return [[task, stack, megabytes(planned), megabytes(grew), megabytes(grew - planned), isWithin ? 'yes' : 'no']];
  }),
];

/** The same lined up, and how the processes grew. */
export const memoryTable = (rows: readonly Row[]): string => [align(memoryCells(rows)), ...growths(rows)].join('\n');
