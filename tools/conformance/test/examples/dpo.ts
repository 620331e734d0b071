import type { Objective } from '@peftjs/core';
import { add, constant, exp, gather, log, logSoftmax, mul, neg, reshape, sub, sum, type Tensor } from '@peftjs/tensor';
import type { TaskModel } from '@peftjs/transformer';

/** log p of each row's labels: [batch]. */
const logProbs = (model: TaskModel, ids: Tensor, labels: Tensor): Tensor => {
  const logits = logSoftmax(model.outputs({ ids }));
  const [batch, tokens, classes] = logits.shape as readonly [number, number, number];
  const starts = constant(
    Int32Array.from({ length: batch * tokens }, (_, i) => i * classes),
    [batch, tokens],
  );
  return sum(gather(reshape(logits, [-1]), add(starts, labels)), { axes: [1] });
};

/**
 * −log σ(β·(log π(y₊)/π₀(y₊) − log π(y₋)/π₀(y₋))); π₀ is the base of the same view. Rafailov et al., 2023. https://arxiv.org/abs/2305.18290
 */
export const dpo =
  (beta: number): Objective =>
  (views, { chosen, chosenLabels, rejected, rejectedLabels }) => {
    const policy = views.train();
    const gain = (ids: Tensor, labels: Tensor): Tensor =>
      sub(logProbs(policy, ids, labels), logProbs(views.base, ids, labels));
    const margin = mul(sub(gain(chosen!, chosenLabels!), gain(rejected!, rejectedLabels!)), beta);
    const losses = log(add(exp(neg(margin)), 1));
    return { sum: sum(losses), weight: constant(Float32Array.of(losses.shape[0]!), []) };
  };
