// src/adagrad.ts
import { add, div, eachParam, type GradientTransform, mul, neg, sqrt } from 'peftjs';

/** AdaGrad: s ← s + g², w ← w − lr·g/(√s + ε). Duchi et al., 2011. https://jmlr.org/papers/v12/duchi11a.html */
export const adagrad = ({ eps = 1e-10 }: { readonly eps?: number } = {}): GradientTransform =>
  eachParam('adagrad', (g, { rate, state }) => {
    const sum = state('sum'); // zeros at first; the run keeps it, writes it to checkpoints and frees it
    const now = add(sum, mul(g, g));
    return { change: neg(mul(rate, div(g, add(sqrt(now), eps)))), state: [[sum, now]] };
  });
