import { decays, type Gradients, type StepContext } from '@peftjs/core';
import { concat, constant, mul, mustBe, type Rules, reshape, select, type Tensor, type Variable } from '@peftjs/tensor';

/** Constants of AdamW. */
export interface AdamWOptions {
  /** Decay of the gradient's moving average. Default 0.9. */
  readonly beta1?: number;
  /** Decay of its square's. Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly eps?: number;
  /** Decoupled decay of parameters with two or more axes, unless their hints say otherwise, per unit of learning rate. Default 0. */
  readonly weightDecay?: number;
}

/** The rules for AdamW's options. */
export const adamwRules: Rules<AdamWOptions> = {
  beta1: mustBe.rate,
  beta2: mustBe.rate,
  eps: mustBe.notNegative,
  weightDecay: mustBe.notNegative,
};

/**
 * The numbers that the kernels of AdamW take of one step, by parameter: [learningRate, beta1, beta2, eps, weightDecay, 1−beta1^t, 1−beta2^t,
 * gradScale]; a gradScale of 0 skips the step. Parameters that are stepped alike share one tensor, so that they run as one kernel.
 */
export const adamHyper = (
  { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0 }: AdamWOptions,
  { scale }: Gradients,
  step: StepContext,
): ((param: Variable) => Tensor) => {
  // The betas reach the device in f32; corrections made of the exact ones would be off by 1e-5 where 1 − β₂ is 1e-3.
  const correction = (beta: number, at: number): number => 1 - Math.fround(beta) ** (at + 1);
  const hyper = step.feed('hyper', [7], (at, rate) =>
    Float32Array.of(rate, beta1, beta2, eps, weightDecay, correction(beta1, at), correction(beta2, at)),
  );
  const gradScale = scale ? select(step.finite, scale, 0) : step.finite;
  const all = concat(hyper, reshape(gradScale, [1]), { axis: 0 });
  const known = new Map<string, Tensor>([['1 1', all]]);
  return (param) => {
    const { rate = 1 } = step.hint(param);
    const decay = weightDecay === 0 || decays(step, param) ? 1 : 0;
    const key = `${rate} ${decay}`;
    const own = known.get(key) ?? mul(all, constant(Float32Array.of(rate, 1, 1, 1, decay, 1, 1, 1), [8]));
    known.set(key, own);
    return own;
  };
};
