import { add, div, mul, select, type Tensor } from '@peftjs/tensor';

/** A number that is reported beside a loss, the mean of `sum` over `weight`; both of shape []. */
export interface Metric {
  readonly sum: Tensor;
  readonly weight: Tensor;
}

/**
 * A loss as a sum over what counts (tokens, rows) and their number, both of shape []. Never a mean: sums of batches of unlike sizes add up, so
 * that padding, accumulation and several machines are exact.
 */
export interface Loss {
  readonly sum: Tensor;
  readonly weight: Tensor;
  /** sum / weight, where that was known first: it is then not computed twice. */
  readonly mean?: Tensor;
  /** Numbers to be reported beside it, by name: margins, accuracies. */
  readonly metrics?: Readonly<Record<string, Metric>>;
}

/** The divisor of a sum: any weight above 0, a fraction too; 1 where nothing counts. */
const divisorOf = ({ weight }: Pick<Loss, 'weight'>): Tensor => select(weight, weight, 1);

/** 1 / weight; 1 where nothing counts. */
export const shareOf = (loss: Pick<Loss, 'weight'>): Tensor => div(1, divisorOf(loss));

/** sum / weight; 0 where nothing counts. */
export const meanOf = (loss: Loss): Tensor => loss.mean ?? div(loss.sum, divisorOf(loss));

const joined = (a: Metric, b: Metric): Metric => ({ sum: add(a.sum, b.sum), weight: add(a.weight, b.weight) });

/** The loss of both batches together, and the metrics of both. */
export const joinLosses = (a: Loss, b: Loss): Loss => {
  const metrics = { ...b.metrics, ...a.metrics };
  for (const name of Object.keys(metrics)) {
    const [own, other] = [a.metrics?.[name], b.metrics?.[name]];
    if (own && other) metrics[name] = joined(own, other);
  }
  return { ...joined(a, b), ...((a.metrics || b.metrics) && { metrics }) };
};

/** A loss with a term added to its mean, and its metrics; `term` of shape [] does not depend on the batch's size. */
export const addTerm = (loss: Loss, term: Tensor): Loss => ({
  sum: add(loss.sum, mul(term, loss.weight)),
  weight: loss.weight,
  mean: add(meanOf(loss), term),
  ...(loss.metrics && { metrics: loss.metrics }),
});

/** a + factor · b of their means; weight and metrics are a's. */
export const addLosses = (a: Loss, b: Loss, factor = 1): Loss => addTerm(a, mul(meanOf(b), factor));
