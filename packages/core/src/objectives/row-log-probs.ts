import { constant, maximum, neg, PeftError, reshape, slice, sum, type Tensor } from '@peftjs/tensor';
import type { LabelLosses, Metric } from '@peftjs/transformer';

/** The completions of a batch by a model: [rows] each. */
export interface RowLogProbs {
  /** log p(completion | prompt): the sum over the tokens that have a label. */
  readonly sums: Tensor;
  /** How many tokens those are, at least 1. */
  readonly counts: Tensor;
}

/** The log-probability of each row's labelled tokens. */
export const rowLogProbs = ({ losses, counted }: LabelLosses): RowLogProbs => ({
  sums: neg(sum(losses, { axes: [1] })),
  counts: maximum(sum(counted, { axes: [1] }), 1),
});

/** Values of the chosen and of the rejected completion of each pair: rows [2 · pairs], chosen first -> [pairs] each. Throws `bad-shape` for half a pair. */
export const inPairs = (who: string, rows: Tensor): readonly [chosen: Tensor, rejected: Tensor] => {
  const count = rows.shape[0]!;
  if (count % 2 !== 0)
    throw new PeftError(
      'bad-shape',
      `${who}: got ${count} rows, which are no whole pairs of a chosen and a rejected one; give batches of an even size, and shuffle pairs, not rows`,
    );
  const pairs = reshape(rows, [count / 2, 2]);
  const at = (start: number): Tensor => reshape(slice(pairs, { axis: 1, start, end: start + 1 }), [-1]);
  return [at(0), at(1)];
};

/** The mean of values [n], as sum and weight. */
export const meanMetric = (values: Tensor): Metric => ({
  sum: sum(values),
  weight: constant(Float32Array.of(values.shape[0]!), []),
});
