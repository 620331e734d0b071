import { checkOptions, div, maximum, mul, mustBe, type Rules, sub, sum, type Tensor } from '@peftjs/tensor';
import type { LabelLosses } from '@peftjs/transformer';
import type { Objective } from '../objective.ts';
import { smoothedSigmoidLoss } from './dpo.ts';
import { pairObjective } from './pair-objective.ts';
import { inPairs, rowLogProbs } from './row-log-probs.ts';

/** The mean loss of the chosen completions' tokens, of shape []: what supervised training would have. */
export const chosenLoss = (who: string, { losses, counted }: LabelLosses): Tensor => {
  const of = (values: Tensor): Tensor => sum(inPairs(who, sum(values, { axes: [1] }))[0]);
  return div(of(losses), maximum(of(counted), 1));
};

/** Options of `cpo`. */
export interface CpoOptions {
  /** β. Default 0.1. */
  readonly beta?: number;
  /** Default `sigmoid`. */
  readonly loss?: 'sigmoid' | 'hinge' | 'ipo';
  /** ε of `sigmoid`, the share of pairs that were labelled the wrong way round. Default 0. */
  readonly labelSmoothing?: number;
  /** The weight of supervised training on the chosen completions. Default 1. */
  readonly supervised?: number;
}

const cpoRules: Rules<CpoOptions> = {
  beta: mustBe.positive,
  loss: mustBe.oneOf(['sigmoid', 'hinge', 'ipo']),
  labelSmoothing: mustBe.rate,
  supervised: mustBe.notNegative,
};

/**
 * Contrastive preference optimisation: DPO without a reference, with the supervised loss of the chosen completion beside it. With Δ = log π(chosen|x) −
 * log π(rejected|x) the loss of a pair is −(1 − ε)·log σ(βΔ) − ε·log σ(−βΔ) (`sigmoid`), max(0, 1 − βΔ) (`hinge`), or (Δ − 1/(2β))² with means over tokens in Δ (`ipo`). Pairs
 * and metrics as of `dpo`, the reward of a completion being β·log π. Computed as TRL 1.16 does. Throws `bad-option`, `bad-shape` for half a pair.
 * Xu et al., 2024. https://arxiv.org/abs/2401.08417
 */
export const cpo = (options: CpoOptions = {}): Objective => {
  checkOptions('cpo', cpoRules, options);
  const { beta = 0.1, loss = 'sigmoid', labelSmoothing = 0, supervised = 1 } = options;
  return pairObjective('cpo', beta, (views, inputs) => {
    const given = views.train().run(inputs).labelLosses();
    const { sums, counts } = rowLogProbs(given);
    const scores = loss === 'ipo' ? div(sums, counts) : sums;
    const [chosen, rejected] = inPairs('cpo', scores);
    const apart = sub(chosen, rejected);
    const off = sub(apart, 1 / (2 * beta));
    const losses = {
      sigmoid: () => smoothedSigmoidLoss(mul(apart, beta), labelSmoothing),
      hinge: () => maximum(sub(1, mul(apart, beta)), 0),
      ipo: () => mul(off, off),
    };
    const term = supervised > 0 ? mul(chosenLoss('cpo', given), supervised) : null;
    return { losses: losses[loss](), logProbs: scores, scores, term };
  });
};

/** Options of `simpo`. */
export interface SimpoOptions {
  /** β. Default 2. */
  readonly beta?: number;
  /** γ, by how much the chosen completion's reward is to be above the other's. Default 0.5. */
  readonly margin?: number;
  /** ε, the share of pairs that were labelled the wrong way round. Default 0. */
  readonly labelSmoothing?: number;
  /** The weight of supervised training on the chosen completions (CPO-SimPO). Default 0. */
  readonly supervised?: number;
}

const simpoRules: Rules<SimpoOptions> = {
  beta: mustBe.positive,
  margin: mustBe.notNegative,
  labelSmoothing: mustBe.rate,
  supervised: mustBe.notNegative,
};

/**
 * Simple preference optimisation, without a reference: L = −log σ(β·(h̄(chosen) − h̄(rejected)) − γ), where h̄ is the mean log-probability of a completion's
 * tokens. With ε as in `cpo`. Pairs and metrics as of `dpo`, the reward being β·h̄. Computed as TRL 1.16 does. Throws `bad-option`, `bad-shape` for half a pair.
 * Meng, Xia & Chen, 2024. https://arxiv.org/abs/2405.14734
 */
export const simpo = (options: SimpoOptions = {}): Objective => {
  checkOptions('simpo', simpoRules, options);
  const { beta = 2, margin = 0.5, labelSmoothing = 0, supervised = 0 } = options;
  return pairObjective('simpo', beta, (views, inputs) => {
    const given = views.train().run(inputs).labelLosses();
    const { sums, counts } = rowLogProbs(given);
    const scores = div(sums, counts);
    const [chosen, rejected] = inPairs('simpo', scores);
    const losses = smoothedSigmoidLoss(sub(mul(sub(chosen, rejected), beta), margin), labelSmoothing);
    const term = supervised > 0 ? mul(chosenLoss('simpo', given), supervised) : null;
    return { losses, logProbs: scores, scores, term };
  });
};
