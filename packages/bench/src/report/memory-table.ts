import type { Row } from '../run/measure.ts';
import { memory } from '../tasks/memory.ts';
import { align } from './align.ts';

const megabytes = (bytes: number | undefined): string => (bytes === undefined ? '-' : `${(bytes / 1e6).toFixed(1)} MB`);

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
  return align([head, ...cells]);
};
