import {
  add,
  checkOptions,
  constant,
  div,
  equal,
  exp,
  greaterEqual,
  log,
  max,
  maximum,
  mul,
  mustBe,
  PeftError,
  pad,
  type Rules,
  select,
  slice,
  sub,
  type Tensor,
  tanh,
} from '@peftjs/tensor';
import type { Inputs } from '@peftjs/transformer';
import type { Objective } from '../objective.ts';
import { chosenLoss } from './cpo.ts';
import { logSigmoid } from './log-sigmoid.ts';
import { pairObjective } from './pair-objective.ts';
import { inPairs, rowLogProbs } from './row-log-probs.ts';

/** Options of `orpo`. */
export interface OrpoOptions {
  /** λ, the weight of the odds ratio. Default 0.1. */
  readonly beta?: number;
  /** Which tokens of the chosen row are learnt beside: the prompt too, or the completion. Default `all`, as in TRL and the paper's code. */
  readonly learn?: 'all' | 'completion';
}

const rules: Rules<OrpoOptions> = { beta: mustBe.positive, learn: mustBe.oneOf(['all', 'completion']) };

/** log(1 − eˣ) for x below 0, by 1 − eˣ = (1 + eˣ)·tanh(−x/2), which keeps its digits near 0. */
const logOneMinusExp = (x: Tensor): Tensor => add(log(add(exp(x), 1)), log(maximum(tanh(mul(x, -0.5)), 1e-30)));

/** f32 [rows, tokens], 1 where a label is one. */
const labelled = (labels: Tensor): Tensor => sub(1, equal(labels, constant(Int32Array.of(-100), [])));

/** Labels of the prompt's tokens too, up to the last label of each row: what is behind it fills the row up. */
const wholeLabels = ({ ids, labels }: Inputs): Tensor => {
  if (!ids || !labels) throw new PeftError('bad-option', 'orpo: needs the inputs ids and labels; give batches of both');
  const tokens = labels.shape[1]!;
  const places = constant(
    Float32Array.from({ length: tokens }, (_, t) => t + 1),
    [1, tokens],
  );
  const own = labelled(labels);
  const last = max(mul(own, places), { axes: [1], keepDims: true });
  const next = pad(slice(ids, { axis: 1, start: 1, end: tokens }), { axis: 1, before: 0, after: 1 });
  const inside = select(greaterEqual(last, places), next, constant(Int32Array.of(-100), []));
  return select(own, labels, inside);
};

/**
 * Odds ratio preference optimisation: supervised training on the chosen row, and a preference by odds, without a reference. L = L_SFT − λ·log σ(log odds(chosen) −
 * log odds(rejected)), odds = p / (1 − p), where log p is the mean log-probability of a completion's tokens and L_SFT a mean over the batch's tokens. Pairs and metrics
 * as of `dpo`, the reward of a completion being λ·log p. Computed as TRL 1.16 does. Throws `bad-option`, `bad-shape` for half a pair.
 * Hong, Lee & Thorne, 2024. https://arxiv.org/abs/2403.07691
 */
export const orpo = (options: OrpoOptions = {}): Objective => {
  checkOptions('orpo', rules, options);
  const { beta = 0.1, learn = 'all' } = options;
  return pairObjective('orpo', beta, (views, inputs) => {
    const given = views
      .train()
      .run(inputs)
      .labelLosses({ labels: wholeLabels(inputs) });
    const counted = mul(given.counted, labelled(inputs['labels']!));
    const completion = { losses: mul(given.losses, counted), counted };
    const { sums, counts } = rowLogProbs(completion);
    const scores = div(sums, counts);
    const odds = sub(scores, logOneMinusExp(scores));
    const [chosen, rejected] = inPairs('orpo', odds);
    return {
      losses: mul(logSigmoid(sub(chosen, rejected)), -beta),
      logProbs: scores,
      scores,
      term: chosenLoss('orpo', learn === 'all' ? given : completion),
    };
  });
};
