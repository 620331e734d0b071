import type { GradientTransform } from '@peftjs/core';
import { adamw8bitStep, adamwStep, checkOptions, mustBe, sizeOf, stateBlock, sub } from '@peftjs/tensor';
import { type AdamWOptions, adamHyper, adamwRules } from './adam-hyper.ts';

/** Constants of 8-bit AdamW. */
export interface AdamW8bitOptions extends AdamWOptions {
  /** Parameters of fewer values keep their moments in f32. Default 4096. */
  readonly leastSize?: number;
}

/**
 * AdamW whose moments take a quarter of the memory: codes of 8 bits and a scale for every 256 values, as bitsandbytes' `AdamW8bit`. Small
 * parameters keep moments in f32, where nothing is to be gained. Dettmers, Lewis, Shleifer & Zettlemoyer, 2022.
 * https://arxiv.org/abs/2110.02861. Throws `bad-option`.
 */
export const adamw8bit = (options: AdamW8bitOptions = {}): GradientTransform => {
  checkOptions('adamw8bit', { ...adamwRules, leastSize: mustBe.whole }, options);
  const { leastSize = 4096 } = options;
  return {
    name: 'adamw8bit',
    steps: true,
    update: (gradients, step) => {
      const hyperOf = adamHyper(options, gradients, step);
      const stepped = [...gradients.values].map(([param, gradient]) => {
        const hyper = hyperOf(param);
        if (sizeOf(param.shape) < leastSize) {
          const state = [step.state(param, 'm'), step.state(param, 'v')] as const;
          return { param, state, now: adamwStep(param, gradient, ...state, hyper) };
        }
        const blocks = [Math.ceil(sizeOf(param.shape) / stateBlock)];
        const state = [
          step.state(param, 'm', param.shape, 'u8'),
          step.state(param, 'v', param.shape, 'u8'),
          step.state(param, 'mScale', blocks),
          step.state(param, 'vScale', blocks),
        ] as const;
        return { param, state, now: adamw8bitStep(param, gradient, ...state, hyper) };
      });
      return {
        values: new Map(stepped.map(({ param, now: [weight] }) => [param, sub(weight, param)])),
        next: new Map(stepped.map(({ param, now: [weight] }) => [param, weight])),
        state: stepped.flatMap(({ state, now: [, ...kept] }) => state.map((v, i) => [v, kept[i]!] as const)),
      };
    },
  };
};
