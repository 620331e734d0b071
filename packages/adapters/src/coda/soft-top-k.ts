import { add, constant, div, exp, log, minimum, mul, sub, sum, type Tensor } from '@peftjs/tensor';

/** ε falls from 4 by 0.7 an iteration to what is asked for, and 20 are enough. */
const iterations = 20;
const [first, decay] = [4, 0.7];

/**
 * The soft top k of scores s [batch, n]: the λ in [0, 1] with Σλ = k that make s·λ + ε H(λ) largest, H the entropy, [batch, n]. With λ = exp((s + a + b) / ε) it is found by turns, in which
 * a = ε (ln k − ln Σ exp((s + b) / ε)) and b = min(−s − a, 0), from b = −s on. `k` and `counted`, of how many scores it is one, are f32 [batch, 1]. All of it has a gradient.
 * Lei et al., 2023, https://arxiv.org/abs/2304.04947; the turns and ε's fall as https://github.com/lucidrains/CoLT5-attention, `coor_descent.py`, has them.
 */
export const softTopK = (s: Tensor, k: Tensor, counted: Tensor, epsilon: number): Tensor => {
  const target = log(k);
  let now = Math.max(first, epsilon);
  // s + b is min(s, −a), so that s + a + b is min(s + a, 0): no exponential overflows.
  let a = mul(sub(target, log(counted)), now);
  const bounded = (): Tensor => minimum(add(s, a), constant(Float32Array.of(0), []));
  for (let i = 1; i < iterations; i++) {
    now = Math.max(now * decay, epsilon);
    const total = sum(exp(mul(bounded(), 1 / now)), { axes: [-1], keepDims: true });
    a = add(a, mul(sub(target, log(total)), now));
  }
  return exp(div(bounded(), Math.max(now * decay, epsilon)));
};
