import type { Objective } from '@peftjs/core';
import { add, constant, exp, log, mul, neg, sub, sum, type Tensor } from '@peftjs/tensor';
import { sequenceLogProb } from '@peftjs/transformer';

/**
 * −log σ(β·(log π(y₊)/π₀(y₊) − log π(y₋)/π₀(y₋))); π₀ is the base of the same view. Rafailov et al., 2023. https://arxiv.org/abs/2305.18290
 */
export const dpo =
  (beta: number): Objective =>
  (views, { chosen, chosenLabels, rejected, rejectedLabels }) => {
    const policy = views.train();
    const gain = (ids: Tensor, labels: Tensor): Tensor =>
      sub(sequenceLogProb(policy, ids, labels), sequenceLogProb(views.base, ids, labels));
    const margin = mul(sub(gain(chosen!, chosenLabels!), gain(rejected!, rejectedLabels!)), beta);
    const losses = log(add(exp(neg(margin)), 1));
    return { sum: sum(losses), weight: constant(Float32Array.of(losses.shape[0]!), []) };
  };
