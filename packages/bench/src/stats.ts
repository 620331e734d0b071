/** The middle value; the mean of the two middle ones of an even count. Throws on an empty list. */
export const median = (values: readonly number[]): number => {
  if (values.length === 0) throw new RangeError('median: there are no values');
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1]!, sorted[sorted.length >> 1]!];
  return (low + high) / 2;
};

/** The median distance from the median, as a share of it: half of the rounds lie within. */
export const spread = (values: readonly number[]): number => {
  const middle = median(values);
  return middle === 0 ? 0 : median(values.map((v) => Math.abs(v - middle))) / Math.abs(middle);
};

/** How many times as large `a` is: the median of the quotients of rounds that were measured next to each other. */
export const ratio = (a: readonly number[], b: readonly number[]): number => {
  const pairs = Math.min(a.length, b.length);
  return median(a.slice(0, pairs).map((value, i) => value / b[i]!));
};

/** Least squares through the points: y = slope · x + offset, and the share of the variance that it explains. */
export const line = (
  points: readonly (readonly [number, number])[],
): { readonly slope: number; readonly offset: number; readonly r2: number } => {
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const sum = (f: (x: number, y: number) => number): number =>
    points.reduce((total, [x, y]) => total + f(x - mx, y - my), 0);
  const [xx, xy, yy] = [sum((x) => x * x), sum((x, y) => x * y), sum((_, y) => y * y)];
  const slope = xy / xx;
  return { slope, offset: my - slope * mx, r2: yy === 0 ? 1 : (xy * xy) / (xx * yy) };
};
