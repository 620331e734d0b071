import { checkPairs } from './measure.ts';

const countedBy = (values: readonly number[]): Map<number, number> => {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
};

/**
 * Matthews' correlation of classes, also of more than two: (c·n − Σ pₖwₖ) / √((n² − Σ pₖ²)(n² − Σ wₖ²)), with c right ones of n and pₖ, wₖ how
 * often class k is predicted and wanted. 0 where all are of one class. scikit-learn's `matthews_corrcoef`. Throws `bad-data`.
 */
export const mcc = (predicted: readonly number[], wanted: readonly number[]): number => {
  checkPairs('mcc', predicted, wanted);
  const n = wanted.length;
  const [p, w] = [countedBy(predicted), countedBy(wanted)];
  const right = wanted.filter((label, i) => predicted[i] === label).length;
  const products = (a: Map<number, number>, b: Map<number, number>): number =>
    [...a].reduce((total, [label, count]) => total + count * (b.get(label) ?? 0), 0);
  const spread = (n * n - products(p, p)) * (n * n - products(w, w));
  return spread === 0 ? 0 : (right * n - products(p, w)) / Math.sqrt(spread);
};
