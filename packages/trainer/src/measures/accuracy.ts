import { checkPairs } from './measure.ts';

const same = (a: unknown, b: unknown): boolean =>
  Array.isArray(a) && Array.isArray(b) ? a.length === b.length && a.every((x, i) => x === b[i]) : a === b;

/** The share of predictions that are right: of classes, or of sets of labels, which are right as a whole. scikit-learn's `accuracy_score`. Throws `bad-data`. */
export const accuracy = <T extends number | string | readonly number[]>(
  predicted: readonly T[],
  wanted: readonly T[],
): number => {
  checkPairs('accuracy', predicted, wanted);
  return predicted.filter((p, i) => same(p, wanted[i])).length / predicted.length;
};
