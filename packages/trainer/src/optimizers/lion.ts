import { eachParam, type GradientTransform } from '@peftjs/core';
import { add, checkOptions, mul, mustBe, neg, sign } from '@peftjs/tensor';

/** Constants of Lion. */
export interface LionOptions {
  /** Weight of the momentum in the step. Default 0.9. */
  readonly beta1?: number;
  /** Decay of the momentum. Default 0.99. */
  readonly beta2?: number;
  /** Decoupled decay, as AdamW's; rates are 3 to 10 times smaller than AdamW's, so this is that much larger. Default 0. */
  readonly weightDecay?: number;
}

/**
 * Lion: w ← w − lr·(sign(β₁m + (1−β₁)g) + λw), m ← β₂m + (1−β₂)g. Half the state of AdamW. Chen et al., 2023.
 * https://arxiv.org/abs/2302.06675, https://github.com/google/automl/tree/master/lion. Throws `bad-option`.
 */
export const lion = (options: LionOptions = {}): GradientTransform => {
  checkOptions('lion', { beta1: mustBe.rate, beta2: mustBe.rate, weightDecay: mustBe.notNegative }, options);
  const { beta1 = 0.9, beta2 = 0.99, weightDecay = 0 } = options;
  return eachParam('lion', (g, { param, rate, decays, state }) => {
    const m = state('m');
    const direction = sign(add(mul(m, beta1), mul(g, 1 - beta1)));
    const whole = weightDecay > 0 && decays ? add(direction, mul(param, weightDecay)) : direction;
    return { change: mul(neg(rate), whole), state: [[m, add(mul(m, beta2), mul(g, 1 - beta2))]] };
  });
};
