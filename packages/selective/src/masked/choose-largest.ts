import { keepLargest } from '@peftjs/core/collect';
import type { Path, TaskModel } from '@peftjs/transformer';
import type { Mask } from './mask.ts';

/** The scores of layers' weights, [outDim · inDim] each, given one layer after the other. */
export type EachScore = (take: (path: Path, scores: ArrayLike<number>) => void) => Promise<void>;

/** The share `keep` of all weights of some layers, those with the largest scores; one weight at least. */
export const chooseLargest = async (
  { linears }: TaskModel,
  paths: readonly Path[],
  keep: number,
  each: EachScore,
): Promise<Mask> => {
  const total = paths.reduce((n, path) => n + linears.get(path)!.outDim * linears.get(path)!.inDim, 0);
  const largest = keepLargest(Math.max(1, Math.floor(keep * total)));
  await each((path, scores) => largest.add(paths.indexOf(path), scores));
  return Object.fromEntries([...largest.places()].map(([i, places]) => [paths[i]!, places]));
};

/** The share `keep` of all scores, by whose they are; one at least. */
export const chooseLargestOf = (scores: ReadonlyMap<Path, ArrayLike<number>>, keep: number): Mask => {
  const paths = [...scores.keys()];
  const total = [...scores.values()].reduce((n, { length }) => n + length, 0);
  const largest = keepLargest(Math.max(1, Math.floor(keep * total)));
  for (const [i, own] of [...scores.values()].entries()) largest.add(i, own);
  return Object.fromEntries([...largest.places()].map(([i, places]) => [paths[i]!, places]));
};

/** The same of each layer by itself. */
export const chooseInEach = async (keep: number, each: EachScore): Promise<Mask> => {
  const mask: Record<Path, Int32Array> = {};
  await each((path, scores) => {
    const largest = keepLargest(Math.max(1, Math.floor(keep * scores.length)));
    largest.add(0, scores);
    mask[path] = largest.places().get(0)!;
  });
  return mask;
};
