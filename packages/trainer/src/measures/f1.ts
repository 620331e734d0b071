import { PeftError } from '@peftjs/tensor';
import { checkPairs } from './measure.ts';

/** Means over classes: of class 1 alone; of all alike; of all counts together; by how many rows each class has. */
export type Average = 'binary' | 'macro' | 'micro' | 'weighted';

/** True positives, predicted and wanted ones of a class. */
interface Counts {
  readonly right: number;
  readonly predicted: number;
  readonly wanted: number;
}

/** 2·right / (predicted + wanted), the harmonic mean of precision and recall; 0 where there is nothing. */
export const harmonic = ({ right, predicted, wanted }: Counts): number =>
  right === 0 ? 0 : (2 * right) / (predicted + wanted);

const added = (all: readonly Counts[]): Counts => ({
  right: all.reduce((n, c) => n + c.right, 0),
  predicted: all.reduce((n, c) => n + c.predicted, 0),
  wanted: all.reduce((n, c) => n + c.wanted, 0),
});

const averaged = (counts: readonly Counts[], average: Exclude<Average, 'binary'>): number => {
  if (average === 'micro') return harmonic(added(counts));
  const weights = counts.map(({ wanted }) => (average === 'macro' ? 1 : wanted));
  const total = weights.reduce((a, b) => a + b, 0);
  return total === 0 ? 0 : counts.reduce((n, c, i) => n + harmonic(c) * weights[i]!, 0) / total;
};

const countsOf = (isClass: (row: number) => readonly [boolean, boolean], rows: number): Counts => {
  let [right, predicted, wanted] = [0, 0, 0];
  for (let i = 0; i < rows; i++) {
    const [p, w] = isClass(i);
    if (p && w) right++;
    if (p) predicted++;
    if (w) wanted++;
  }
  return { right, predicted, wanted };
};

/**
 * F1 of classes by number, the harmonic mean of precision and recall: that of class 1 (`binary`), or a mean over the classes that are predicted or
 * wanted. scikit-learn's `f1_score`, 0 where it is undefined. Throws `bad-data`, and `bad-option` for `binary` of more than the classes 0 and 1.
 */
export const f1 = (predicted: readonly number[], wanted: readonly number[], average: Average = 'macro'): number => {
  checkPairs('f1', predicted, wanted);
  const counts = (label: number): Counts =>
    countsOf((i) => [predicted[i] === label, wanted[i] === label], wanted.length);
  const labels = [...new Set([...predicted, ...wanted])];
  if (average !== 'binary') return averaged(labels.map(counts), average);
  const other = labels.find((label) => label !== 0 && label !== 1);
  if (other === undefined) return harmonic(counts(1));
  throw new PeftError(
    'bad-option',
    `f1: binary is of the classes 0 and 1, got class ${other}; take macro, micro or weighted`,
  );
};

/** F1 of sets of labels, rows of 0 and 1: a mean over the labels, as `f1_score` of such rows. Throws `bad-data`. */
export const f1OfSets = (
  predicted: readonly (readonly number[])[],
  wanted: readonly (readonly number[])[],
  average: Exclude<Average, 'binary'> = 'macro',
): number => {
  checkPairs('f1', predicted, wanted);
  const counts = wanted[0]!.map((_, label) =>
    countsOf((i) => [predicted[i]![label] === 1, wanted[i]![label] === 1], wanted.length),
  );
  return averaged(counts, average);
};
