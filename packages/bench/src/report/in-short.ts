import type { Row } from '../run/measure.ts';
import { ratio } from '../stats.ts';
import type { Cells } from './align.ts';

const isPeer = ({ stack }: Row): boolean => stack.startsWith('jax') || stack.startsWith('tfjs');

const counts = ({ agrees, failure, rate, rounds }: Row): boolean =>
  agrees && failure === undefined && rate !== null && rounds.length > 0;

/** How many times as fast one is as the best of some others, which is named. */
const timesBest = (own: Row | undefined, others: readonly Row[]): string => {
  const best = others.filter(counts).toSorted((a, b) => b.rate! - a.rate!)[0];
  if (!own || !counts(own) || !best) return '-';
  return `${ratio(own.rounds, best.rounds).toPrecision(3)} (${best.stack})`;
};

const peakShare = (own: Row | undefined, other: Row | undefined): string =>
  own?.peakBytes && other?.peakBytes ? (own.peakBytes / other.peakBytes).toFixed(2) : '-';

/** Each task in one line: ours as multiples of the others. What is wrong or failed is left out. */
export const inShortCells = (tasks: readonly (readonly Row[])[]): Cells => [
  ['task', 'CPU: x PyTorch', 'its memory: x PyTorch', 'CPU: x best in JavaScript', 'WebGPU: x best in JavaScript'],
  ...tasks
    .filter((rows) => rows.length > 0)
    .map((rows) => {
      const of = (name: string): Row | undefined => rows.find(({ stack }) => stack === name);
      const peers = rows.filter(isPeer);
      const torch = rows.filter(({ stack }) => stack === 'torch');
      return [
        rows[0]!.task,
        timesBest(of('ours-cpu'), torch).replace(' (torch)', ''),
        peakShare(of('ours-cpu'), torch[0]),
        timesBest(
          of('ours-cpu'),
          peers.filter(({ stack }) => !stack.endsWith('webgpu')),
        ),
        timesBest(
          of('ours-webgpu'),
          peers.filter(({ stack }) => stack.endsWith('webgpu')),
        ),
      ];
    }),
];
