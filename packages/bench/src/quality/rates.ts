/** Half a power of ten. */
const step = Math.sqrt(10);

/** The rate at a place of the grid, 3.2e-3 at 5: two figures, as a person would write it. */
export const rateAt = (place: number): number => Number((1e-5 * step ** place).toPrecision(2));

/** Rates tried at most. */
export const most = 7;

/** The place with the lowest loss; of equal ones the first. */
export const bestPlace = (tried: ReadonlyMap<number, number>): number =>
  [...tried].reduce((a, b) => (b[1] < a[1] ? b : a))[0];

/**
 * The next place to try of a grid whose neighbours are a factor √10 apart, given the losses of those that were tried: beside the best, from
 * `first` on upwards. Null where both neighbours of the best were tried, or enough were.
 */
export const nextPlace = (first: number, tried: ReadonlyMap<number, number>): number | null => {
  if (tried.size === 0) return first;
  if (tried.size >= most) return null;
  const best = bestPlace(tried);
  return [best + 1, best - 1].find((place) => !tried.has(place)) ?? null;
};
