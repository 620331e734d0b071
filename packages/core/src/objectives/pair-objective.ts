import { greater, mul, sub, type Tensor } from '@peftjs/tensor';
import { addTerm, type Inputs, type Loss, type Metric } from '@peftjs/transformer';
import type { Objective, Views } from '../objective.ts';
import { inPairs, meanMetric } from './row-log-probs.ts';

/** The parts of an objective of pairs. Of all but `term` each value is of a row, [2 · pairs]. */
export interface OfPairs {
  /** The loss of each pair, [pairs]. */
  readonly losses: Tensor;
  /** Completions by the model: log-probabilities, or their means over tokens. */
  readonly logProbs: Tensor;
  /** Values of completions as the objective has them, before `beta`. */
  readonly scores: Tensor;
  /** A term of the mean loss, of shape []. */
  readonly term?: Tensor | null;
}

/**
 * Names of what objectives of pairs report, as means over pairs. `reward` is beta times the score of a completion, `margin` the chosen one's less the
 * rejected one's, `accuracy` the share of pairs whose chosen completion has the larger reward.
 */
const pairMetrics = ['margin', 'accuracy', 'chosenReward', 'rejectedReward', 'chosenLogProb', 'rejectedLogProb'];

const metricsOf = (who: string, { scores, logProbs }: OfPairs, beta: number): Readonly<Record<string, Metric>> => {
  const [chosen, rejected] = inPairs(who, mul(scores, beta));
  const [chosenLogProb, rejectedLogProb] = inPairs(who, logProbs);
  const values = {
    margin: sub(chosen, rejected),
    accuracy: greater(chosen, rejected),
    chosenReward: chosen,
    rejectedReward: rejected,
    chosenLogProb,
    rejectedLogProb,
  };
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, meanMetric(value)]));
};

/** An objective of pairs, whose loss is a mean over them; held-out data is measured by it too. */
export const pairObjective = (who: string, beta: number, of: (views: Views, inputs: Inputs) => OfPairs): Objective =>
  Object.assign(
    (views: Views, inputs: Inputs): Loss => {
      const pairs = of(views, inputs);
      const loss = { ...meanMetric(pairs.losses), metrics: metricsOf(who, pairs, beta) };
      return pairs.term ? addTerm(loss, pairs.term) : loss;
    },
    { metrics: pairMetrics, measures: true },
  );
