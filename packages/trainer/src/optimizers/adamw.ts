import type { GradientTransform } from '@peftjs/core';
import { adamwStep, checkOptions, sub } from '@peftjs/tensor';
import { type AdamWOptions, adamHyper, adamwRules } from './adam-hyper.ts';

/**
 * AdamW: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − lr·(m̂/(√v̂ + ε) + λw). All small parameters are stepped by one kernel.
 * Loshchilov & Hutter, 2017. https://arxiv.org/abs/1711.05101. Throws `bad-option`.
 */
export const adamw = (options: AdamWOptions = {}): GradientTransform => {
  checkOptions('adamw', adamwRules, options);
  return {
    name: 'adamw',
    steps: true,
    update: (gradients, step) => {
      const hyperOf = adamHyper(options, gradients, step);
      const stepped = [...gradients.values].map(([param, gradient]) => {
        const [m, v] = [step.state(param, 'm'), step.state(param, 'v')];
        const [weight, m2, v2] = adamwStep(param, gradient, m, v, hyperOf(param));
        return { param, weight, state: [[m, m2] as const, [v, v2] as const] };
      });
      return {
        values: new Map(stepped.map(({ param, weight }) => [param, sub(weight, param)])),
        next: new Map(stepped.map(({ param, weight }) => [param, weight])),
        state: stepped.flatMap(({ state }) => state),
      };
    },
  };
};
