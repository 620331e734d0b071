import type { Random } from '@peftjs/tensor';

type Point = readonly number[];

const distance = (a: Point, b: Point): number => a.reduce((sum, v, i) => sum + (v - b[i]!) ** 2, 0);

/** Different numbers below n, `k` of them. */
const drawn = (n: number, k: number, random: Random): number[] => {
  const all = Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < k; i++) {
    const j = i + Math.floor(random() * (n - i));
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all.slice(0, k);
};

/** The nearest centre of each point, the first of equals. A centre that is nearest to none takes the point that lies farthest from its own, of those that have company. */
const assigned = (points: readonly Point[], centres: readonly Point[]): number[] => {
  const from = points.map((point) => centres.map((centre) => distance(point, centre)));
  const labels = from.map((to) => to.indexOf(Math.min(...to)));
  const sizes = centres.map((_, k) => labels.filter((label) => label === k).length);
  for (const empty of centres.keys()) {
    if (sizes[empty]! > 0) continue;
    let farthest = -1;
    for (const [i, label] of labels.entries())
      if (sizes[label]! > 1 && (farthest < 0 || from[i]![label]! > from[farthest]![labels[farthest]!]!)) farthest = i;
    sizes[labels[farthest]!]!--;
    sizes[empty]!++;
    labels[farthest] = empty;
  }
  return labels;
};

const mean = (points: readonly Point[]): Point =>
  points[0]!.map((_, axis) => points.reduce((sum, point) => sum + point[axis]!, 0) / points.length);

/**
 * The cluster of each point, in [0, k): means begin at k points that are drawn, and move to the middle of what lies nearest to them until nothing changes, `rounds` times at most. No cluster is
 * empty; k is at most the number of points. Lloyd, 1982. https://doi.org/10.1109/TIT.1982.1056489
 */
export const kMeans = (points: readonly Point[], k: number, random: Random, rounds = 10): number[] => {
  let labels = assigned(
    points,
    drawn(points.length, k, random).map((i) => points[i]!),
  );
  for (let round = 0; round < rounds; round++) {
    const now = labels;
    const centres = Array.from({ length: k }, (_, label) => mean(points.filter((_p, i) => now[i] === label)));
    labels = assigned(points, centres);
    if (labels.every((label, i) => label === now[i])) break;
  }
  return labels;
};
