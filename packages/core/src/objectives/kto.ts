import {
  checkOptions,
  constant,
  div,
  maximum,
  mul,
  mustBe,
  PeftError,
  type Rules,
  reshape,
  select,
  sigmoid,
  sizeOf,
  slice,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from '@peftjs/tensor';
import type { Inputs, Loss, Metric, TaskModel } from '@peftjs/transformer';
import type { Objective, Views } from '../objective.ts';
import { meanMetric, rowLogProbs } from './row-log-probs.ts';

/** Options of `kto`. */
export interface KtoOptions {
  /** β, how much it costs to leave the base. Default 0.1. */
  readonly beta?: number;
  /** The weight of good answers. Default 1. The paper wants this times their number to be 1 to 4/3 times `undesirable` times the number of bad ones. */
  readonly desirable?: number;
  /** The weight of bad answers. Default 1. */
  readonly undesirable?: number;
}

const rules: Rules<KtoOptions> = {
  beta: mustBe.positive,
  desirable: mustBe.positive,
  undesirable: mustBe.positive,
};

/** The first or the second row of every two. */
const everyOther = (inputs: Inputs, start: 0 | 1): Inputs =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, column]) => {
      const [rows, ...own] = column.shape as readonly [number, ...number[]];
      const two = reshape(column, [rows / 2, 2, ...own]);
      return [name, reshape(slice(two, { axis: 1, start, end: start + 1 }), [rows / 2, ...own])];
    }),
  );

/** f32 [rows], 1 for good answers. Throws `bad-option`, `bad-shape`. */
const verdicts = ({ desirable, labels }: Inputs): Tensor => {
  if (!desirable || !labels)
    throw new PeftError(
      'bad-option',
      'kto: needs the inputs ids, labels and desirable; `judged` and `mismatched` of @peftjs/data make them',
    );
  const rows = labels.shape[0]!;
  if (desirable.dtype === 'f32' && sizeOf(desirable.shape) === rows && rows % 2 === 0)
    return reshape(desirable, [rows]);
  throw new PeftError(
    'bad-shape',
    `kto: got ${desirable.dtype} [${desirable.shape}] as desirable of ${rows} rows; it is f32, one of each row, and each row is followed by a mismatched one: put \`mismatched()\` after \`batch\``,
  );
};

/** The mean over the rows that a weight counts. */
const meanOver = (values: Tensor, weights: Tensor): Metric => ({
  sum: sum(mul(values, weights)),
  weight: sum(weights),
});

/**
 * Kahneman-Tversky optimisation: answers that are known to be good or bad, without pairs. With h(y) = log π(y|x) − log π_base(y|x), summed over the answer's
 * tokens, the loss of a good answer is λ_D·(1 − σ(β·(h − z))), of a bad one λ_U·(1 − σ(β·(z − h))). z, how far the model is from the base, is the mean of h over answers
 * that belong to other prompts of the batch, at least 0 and without a gradient: so batches of another size are another loss. A mean over rows.
 *
 * Batches come from `judged`, `batch` and `mismatched` of `@peftjs/data`: rows of `ids`, `labels` and `desirable`, each followed by its mismatched one. Reported are `kl` (z), rewards
 * β·h and log-probabilities, of good (`chosen`) and bad (`rejected`) answers. Computed as TRL 1.16 does. Throws `bad-option`, `bad-shape`.
 * Ethayarajh et al., 2024. https://arxiv.org/abs/2402.01306
 */
export const kto = (options: KtoOptions = {}): Objective => {
  checkOptions('kto', rules, options);
  const { beta = 0.1, desirable = 1, undesirable = 1 } = options;
  const ratios = (model: TaskModel, base: TaskModel, inputs: Inputs) => {
    const { sums } = rowLogProbs(model.run(inputs).labelLosses());
    return { logProbs: sums, h: sub(sums, stopGradient(rowLogProbs(base.run(inputs).labelLosses()).sums)) };
  };
  return Object.assign(
    (views: Views, all: Inputs): Loss => {
      const whole = { ...all, desirable: verdicts(all) };
      const [inputs, others] = [everyOther(whole, 0), everyOther(whole, 1)];
      const { logProbs, h } = ratios(views.train(), views.base, inputs);
      const apart = ratios(views.evaluate, views.base, others).h;
      const rows = constant(Float32Array.of(apart.shape[0]!), []);
      const kl = stopGradient(maximum(div(sum(apart), rows), 0));
      const good = inputs['desirable']!;
      const bad = sub(1, good);
      const above = mul(sub(h, kl), beta);
      // 1 − σ(x) is σ(−x).
      const losses = select(good, mul(sigmoid(mul(above, -1)), desirable), mul(sigmoid(above), undesirable));
      const rewards = mul(h, beta);
      const metrics = {
        kl: { sum: mul(kl, rows), weight: rows },
        chosenReward: meanOver(rewards, good),
        rejectedReward: meanOver(rewards, bad),
        chosenLogProb: meanOver(logProbs, good),
        rejectedLogProb: meanOver(logProbs, bad),
      };
      return { ...meanMetric(losses), metrics };
    },
    { metrics: ['kl', 'chosenReward', 'rejectedReward', 'chosenLogProb', 'rejectedLogProb'], measures: true },
  );
};
