/** A point, and its value. */
interface Found {
  readonly point: readonly number[];
  readonly value: number;
}

/** Where and how long a minimum is looked for. */
export interface NelderMeadOptions {
  /** Every coordinate stays within [−bound, bound]. */
  readonly bound: number;
  /** The most values that may be asked for. */
  readonly evaluations: number;
  /** The first simplex: the start, and it moved by so much along each axis. */
  readonly size: number;
}

/**
 * The least value that a search without gradients finds of a function, by a simplex that is reflected, expanded, contracted and shrunk with the factors 1, 2, ½ and ½. Coordinates beyond the bound are moved onto it.
 * Nelder & Mead, 1965. https://doi.org/10.1093/comjnl/7.4.308
 */
export const nelderMead = async (
  of: (point: readonly number[]) => Promise<number>,
  start: readonly number[],
  { bound, evaluations, size }: NelderMeadOptions,
): Promise<Found> => {
  let left = evaluations;
  const at = async (point: readonly number[]): Promise<Found> => {
    left--;
    const inside = point.map((x) => Math.max(-bound, Math.min(bound, x)));
    const value = await of(inside);
    return { point: inside, value: Number.isNaN(value) ? Number.POSITIVE_INFINITY : value };
  };
  let simplex = [await at(start)];
  for (let i = 0; i < start.length && left > 0; i++)
    simplex.push(await at(start.map((x, k) => (k === i ? x + size : x))));
  const sorted = (all: readonly Found[]): Found[] => all.toSorted((a, b) => a.value - b.value);
  simplex = sorted(simplex);
  while (left > 0) {
    const [best, worst, second] = [simplex[0]!, simplex.at(-1)!, simplex.at(-2)!];
    const others = simplex.slice(0, -1);
    const centre = start.map((_, k) => others.reduce((sum, { point }) => sum + point[k]!, 0) / others.length);
    const along = (factor: number): number[] => centre.map((c, k) => c + factor * (c - worst.point[k]!));
    const replaced = (now: Found): Found[] => sorted([...others, now]);
    const reflected = await at(along(1));
    if (reflected.value < best.value) {
      const expanded = left > 0 ? await at(along(2)) : reflected;
      simplex = replaced(expanded.value < reflected.value ? expanded : reflected);
    } else if (reflected.value < second.value) {
      simplex = replaced(reflected);
    } else if (left > 0) {
      const outside = reflected.value < worst.value;
      const contracted = await at(along(outside ? 0.5 : -0.5));
      if (contracted.value < Math.min(reflected.value, worst.value)) simplex = replaced(contracted);
      else {
        const shrunk = [best];
        for (const { point } of simplex.slice(1)) {
          if (left === 0) break;
          shrunk.push(await at(point.map((x, k) => best.point[k]! + (x - best.point[k]!) / 2)));
        }
        simplex = sorted([...shrunk, ...simplex.slice(shrunk.length)]);
      }
    } else simplex = replaced(reflected.value < worst.value ? reflected : worst);
  }
  return simplex[0]!;
};
