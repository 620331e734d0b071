import { decays, type GradientTransform, unscaled } from '@peftjs/core';
import { add, checkOptions, div, maximum, mul, mustBe, pow, sqrt, sub } from '@peftjs/tensor';

/** Constants of schedule-free AdamW. */
export interface ScheduleFreeOptions {
  /** Share of the average in the weights that gradients are taken at, above 0. Default 0.9. */
  readonly beta1?: number;
  /** Decay of the average of the gradient's square. Default 0.999. */
  readonly beta2?: number;
  /** Default 1e-8. */
  readonly eps?: number;
  /** Decay of parameters with two or more axes, unless their hints say otherwise, per unit of learning rate. Default 0. */
  readonly weightDecay?: number;
  /** Steps count in the average by (t + 1) to this power. Default 0. */
  readonly power?: number;
  /** Steps count in the average by the largest learning rate so far to this power. Default 2. */
  readonly ratePower?: number;
}

/**
 * Schedule-free AdamW: z ← z − lr·ĝ, x ← (1 − c)x + cz, y = (1 − β₁)z + β₁x, where ĝ = g/(√v̂ + ε) + λy is taken at y and c is the step's share of all steps' weights, t^p·lr_max^q. It wants a
 * rate that stays after its warm-up: `schedule: { name: 'constant', warmupShare: 0.05 }`. What is trained is y; held-out data is measured by x, and the parameters are x at the end of a run. Kept are
 * u = z − y and v, so that y ← y + c·u + lr·(β₁(1 − c) − 1)·ĝ, u ← (1 − c)(u − lr·β₁·ĝ), x = y + (1 − 1/β₁)·u.
 * Defazio et al., 2024. https://arxiv.org/abs/2405.15682, https://github.com/facebookresearch/schedule_free. Throws `bad-option`.
 */
export const scheduleFree = (options: ScheduleFreeOptions = {}): GradientTransform => {
  checkOptions(
    'scheduleFree',
    {
      beta1: mustBe.such('above 0 and below 1', (v) => typeof v === 'number' && v > 0 && v < 1),
      beta2: mustBe.rate,
      eps: mustBe.notNegative,
      weightDecay: mustBe.notNegative,
      power: mustBe.notNegative,
      ratePower: mustBe.notNegative,
    },
    options,
  );
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0, power = 0, ratePower = 2 } = options;
  return {
    name: 'scheduleFree',
    steps: true,
    update: (gradients, step) => {
      // The decay reaches the device in f32, so the correction is made of that.
      const decay = Math.fround(beta2);
      const correction = step.feed('correction', [], (at) => Float32Array.of(1 - decay ** (at + 1)));
      const place = step.feed('place', [], (at) => Float32Array.of((at + 1) ** power));
      const stepped = [...unscaled(gradients)].map(([param, g]) => {
        const { rate: factor = 1 } = step.hint(param);
        const rate = factor === 1 ? step.rate : mul(step.rate, factor);
        const [u, v] = [step.state(param, 'u'), step.state(param, 'v')];
        const [total, largest] = [step.state(param, 'total', []), step.state(param, 'largest', [])];
        const most = maximum(largest, step.rate);
        const weight = ratePower === 0 ? place : mul(place, pow(most, ratePower));
        const sum = add(total, weight);
        // No step of a rate above 0 yet: nothing to average.
        const share = div(weight, maximum(sum, 1e-30));
        const rest = sub(1, share);
        const square = add(mul(v, beta2), mul(mul(g, g), 1 - decay));
        const plain = div(g, add(sqrt(div(square, correction)), eps));
        const decayed = weightDecay > 0 && decays(step, param) ? add(plain, mul(param, weightDecay)) : plain;
        const moved = mul(rate, decayed);
        const change = add(mul(share, u), mul(sub(mul(rest, beta1), 1), moved));
        const state = [
          [u, mul(rest, sub(u, mul(moved, beta1)))],
          [v, square],
          [total, sum],
          [largest, most],
        ] as const;
        return { param, change, state, average: add(param, mul(u, 1 - 1 / beta1)) };
      });
      return {
        values: new Map(stepped.map(({ param, change }) => [param, change])),
        state: stepped.flatMap(({ state }) => state),
        resting: new Map(stepped.map(({ param, average }) => [param, average])),
      };
    },
  };
};
