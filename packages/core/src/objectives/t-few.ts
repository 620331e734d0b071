import {
  add,
  argmax,
  cast,
  checkOptions,
  constant,
  div,
  equal,
  exp,
  log,
  logSoftmax,
  maximum,
  mul,
  mustBe,
  neg,
  PeftError,
  type Rules,
  reshape,
  slice,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Inputs, Loss } from '@peftjs/transformer';
import type { Objective, Views } from '../objective.ts';
import { meanMetric, rowLogProbs } from './row-log-probs.ts';

/** Options of `tFew`. */
export interface TFewOptions {
  /** Rows that are the answers to one question, the right one first. */
  readonly choices: number;
  /** The weight of the loss that makes wrong answers unlikely. Default 1. */
  readonly unlikelihood?: number;
  /** The weight of the loss that ranks answers by their length-normalised log-probability. Default 1. */
  readonly ranking?: number;
}

const rules: Rules<TFewOptions> = {
  choices: mustBe.given(
    mustBe.such('a whole number of at least 2', (v) => Number.isSafeInteger(v) && (v as number) > 1),
  ),
  unlikelihood: mustBe.notNegative,
  ranking: mustBe.notNegative,
};

/** Added within the logarithm, as the paper's code does: a token that is certain costs no more than −log of this. */
const least = 1e-2;

/**
 * T-Few's losses of a question with several answers, whose rows follow one another, the right one first; so questions are shuffled, not rows. With p of a token
 * given those before it: L = L_LM + λ₁·L_UL + λ₂·L_LN. L_LM is the mean of −log p over the right answers' tokens, L_UL that of −log(1 − p + 0.01) over the tokens of wrong ones, and L_LN
 * the cross-entropy of the right answer under softmax over the answers' means of log p. The loss is a mean over questions; L_LM and L_UL are means over the tokens of
 * the batch, as in the paper's code. Reported is `accuracy`, the share of questions whose right answer has the largest mean. Throws `bad-option`, `bad-shape`.
 * Liu et al., 2022 (with (IA)³). https://arxiv.org/abs/2205.05638, https://github.com/r-three/t-few
 */
export const tFew = (options: TFewOptions): Objective => {
  checkOptions('tFew', rules, options);
  const { choices, unlikelihood = 1, ranking = 1 } = options;
  return Object.assign(
    (views: Views, inputs: Inputs): Loss => {
      const given = views.train().run(inputs).labelLosses();
      const [rows, tokens] = given.losses.shape as [number, number];
      if (rows % choices !== 0)
        throw new PeftError(
          'bad-shape',
          `tFew: got ${rows} rows, which are no whole questions of ${choices} answers; give a batch of whole questions`,
        );
      const questions = rows / choices;
      const part = (t: Tensor, start: number, end: number): Tensor =>
        slice(reshape(t, [questions, choices, tokens]), { axis: 1, start, end });
      const meanOver = (values: Tensor, counts: Tensor): Tensor => div(sum(values), maximum(sum(counts), 1));
      const right = meanOver(part(given.losses, 0, 1), part(given.counted, 0, 1));
      const wrong = part(given.counted, 1, choices);
      const doubts = neg(log(add(sub(1, exp(neg(part(given.losses, 1, choices)))), least)));
      const unlikely = meanOver(mul(doubts, wrong), wrong);
      const { sums, counts } = rowLogProbs(given);
      const means = reshape(div(sums, counts), [questions, choices]);
      const ranks = neg(reshape(slice(logSoftmax(means), { axis: 1, start: 0, end: 1 }), [-1]));
      const weight = constant(Float32Array.of(questions), []);
      const ofBatch = add(right, mul(unlikely, unlikelihood));
      const first = equal(cast(argmax(means, { axis: 1 }), { dtype: 'i32' }), constant(Int32Array.of(0), []));
      return {
        sum: add(mul(sum(ranks), ranking), mul(ofBatch, weight)),
        weight,
        metrics: { accuracy: meanMetric(first) },
      };
    },
    { metrics: ['accuracy'], measures: true },
  );
};
