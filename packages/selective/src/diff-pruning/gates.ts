import { add, log, maximum, minimum, mul, sigmoid, sub, type Tensor } from '@peftjs/tensor';

/** The interval that gates are stretched to before they are cut to [0, 1]. */
const [low, high] = [-1.5, 1.5];

/** A gate that is open, or shut, whatever is drawn: its α. */
export const settled = 30;

/**
 * Hard concrete gates: z = min(1, max(0, s·(high − low) + low)), s = σ(α + log u − log(1 − u)) with u uniform in training, s = σ(α) in evaluation.
 * Louizos, Welling & Kingma, 2017. https://arxiv.org/abs/1712.01312
 */
export const gates = (alpha: Tensor, uniform: Tensor | null): Tensor => {
  const u = uniform && minimum(maximum(uniform, 1e-4), 1 - 1e-4);
  const s = sigmoid(u ? add(alpha, sub(log(u), log(sub(1, u)))) : alpha);
  return minimum(maximum(add(mul(s, high - low), low), 0), 1);
};

/** The chance of each gate to be open: σ(α − log(−low / high)). */
export const openChance = (alpha: Tensor): Tensor => sigmoid(sub(alpha, Math.log(-low / high)));
