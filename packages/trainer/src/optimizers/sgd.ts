import { eachParam, type GradientTransform } from '@peftjs/core';
import { add, checkOptions, mul, mustBe, neg } from '@peftjs/tensor';

/** Constants of SGD. */
export interface SgdOptions {
  /** Decay of the moving sum of gradients. Default 0: none is kept. */
  readonly momentum?: number;
  /** Steps by the gradient where the momentum leads to. Default false. */
  readonly nesterov?: boolean;
  /** λ of an L2 penalty λ/2·‖w‖²: added to the gradient. Default 0. */
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent, as `torch.optim.SGD`: g ← g + λw, b ← μb + g, w ← w − lr·b, or w ← w − lr·(g + μb) after Nesterov.
 * Sutskever, Martens, Dahl & Hinton, 2013. https://proceedings.mlr.press/v28/sutskever13.html. Throws `bad-option`.
 */
export const sgd = (options: SgdOptions = {}): GradientTransform => {
  checkOptions(
    'sgd',
    { momentum: mustBe.rate, nesterov: mustBe.flag, weightDecay: mustBe.notNegative },
    options,
    ({ nesterov, momentum = 0 }) => (nesterov && momentum === 0 ? ['nesterov needs a momentum above 0'] : []),
  );
  const { momentum = 0, nesterov = false, weightDecay = 0 } = options;
  return eachParam('sgd', (gradient, { param, rate, decays, state }) => {
    const g = weightDecay > 0 && decays ? add(gradient, mul(param, weightDecay)) : gradient;
    if (momentum === 0) return { change: mul(neg(rate), g) };
    const sum = state('momentum');
    const moved = add(mul(sum, momentum), g);
    return {
      change: mul(neg(rate), nesterov ? add(g, mul(moved, momentum)) : moved),
      state: [[sum, moved]],
    };
  });
};
