import { checkPairs } from './measure.ts';

const mean = (x: readonly number[]): number => x.reduce((a, b) => a + b, 0) / x.length;

/** Pearson's correlation Σ(x−x̄)(y−ȳ) / √(Σ(x−x̄)²·Σ(y−ȳ)²); 0 where one of them never changes. scipy's `pearsonr`. Throws `bad-data`. */
export const pearson = (predicted: readonly number[], wanted: readonly number[]): number => {
  checkPairs('pearson', predicted, wanted);
  const [x, y] = [mean(predicted), mean(wanted)];
  let [xy, xx, yy] = [0, 0, 0];
  for (const [i, p] of predicted.entries()) {
    const [a, b] = [p - x, wanted[i]! - y];
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  return xx === 0 || yy === 0 ? 0 : xy / Math.sqrt(xx * yy);
};

/** Ranks from 1; equal values share the mean of theirs. */
const ranks = (values: readonly number[]): number[] => {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const found = new Array<number>(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
    for (let i = from; i < to; i++) found[order[i]!] = (from + to + 1) / 2;
    from = to;
  }
  return found;
};

/** Spearman's correlation: Pearson's of ranks. scipy's `spearmanr`. Throws `bad-data`. */
export const spearman = (predicted: readonly number[], wanted: readonly number[]): number => {
  checkPairs('spearman', predicted, wanted);
  return pearson(ranks(predicted), ranks(wanted));
};
