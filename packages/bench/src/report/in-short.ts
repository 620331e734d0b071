import type { Row } from '../run/measure.ts';
import { ratio } from '../stats.ts';
import type { Cells } from './align.ts';

/** Those in JavaScript; `jax-cpu` is Python's. */
const isPeer = ({ stack }: Row): boolean => /^(jax-(wasm|webgpu)|tfjs)/.test(stack);

const counts = ({ agrees, failure, rate, rounds }: Row): boolean =>
  agrees && failure === undefined && rate !== null && rounds.length > 0;

/** The fastest of those that count. */
const bestOf = (rows: readonly Row[]): Row | undefined => rows.filter(counts).toSorted((a, b) => b.rate! - a.rate!)[0];

/** How many times as fast one is as another. */
const times = (own: Row | undefined, other: Row | undefined): string =>
  own && other && counts(own) && counts(other) ? ratio(own.rounds, other.rounds).toPrecision(3) : '-';

/** The same of the best of some others, which is named. */
const timesBest = (own: Row | undefined, others: readonly Row[]): string => {
  const best = bestOf(others);
  const text = times(own, best);
  return best && text !== '-' ? `${text} (${best.stack})` : text;
};

const peakShare = (own: Row | undefined, other: Row | undefined): string =>
  own?.peakBytes && other?.peakBytes ? (own.peakBytes / other.peakBytes).toFixed(2) : '-';

/** Each task in one line: ours as multiples of the others. What is wrong or failed is left out. */
export const inShortCells = (tasks: readonly (readonly Row[])[]): Cells => [
  [
    ...['task', 'CPU: x PyTorch', 'its memory: x PyTorch'],
    ...['int8: x PyTorch bf16', 'int8: x compiled bf16', 'int8 memory: x PyTorch bf16'],
    ...['recomputed: x PyTorch bf16', 'its memory: x PyTorch bf16'],
    ...['CPU: x best in JavaScript', 'WebGPU: x best in JavaScript'],
  ],
  ...tasks
    .filter((rows) => rows.length > 0)
    .map((rows) => {
      const of = (name: string): Row | undefined => rows.find(({ stack }) => stack === name);
      const peers = rows.filter(isPeer);
      return [
        rows[0]!.task,
        times(of('ours-cpu'), of('torch')),
        peakShare(of('ours-cpu'), of('torch')),
        times(of('ours-cpu-int8'), of('torch-bf16')),
        times(of('ours-cpu-int8'), of('torch-compile-bf16')),
        peakShare(of('ours-cpu-int8'), of('torch-bf16')),
        times(of('ours-cpu-int8-lean'), of('torch-bf16')),
        peakShare(of('ours-cpu-int8-lean'), of('torch-bf16')),
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
