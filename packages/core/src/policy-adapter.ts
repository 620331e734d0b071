import { PeftError } from '@peftjs/tensor';
import { type CausalLM, productOf, requireModel } from '@peftjs/transformer';
import type { Adapted } from './attach.ts';
import { type Objective, supervised, type Views } from './objective.ts';
import { requireAdapted } from './require-adapted.ts';

/** How a policy adapter and its base act together. */
export interface PolicyAdapterOptions {
  /** α, the weight of the adapter's logits. Default 1. */
  readonly weight?: number;
}

/** An objective over views of the product; the base of a view is the base policy alone. */
const over =
  (base: CausalLM, weight: number, objective: Objective): Objective =>
  (views, inputs) => {
    const own = views as unknown as Views & { readonly evaluate: CausalLM };
    const product = (view: unknown): CausalLM => productOf(base, view as CausalLM, weight);
    const seen = { ...own, train: () => product(own.train()), evaluate: product(own.evaluate), base };
    return objective(seen as unknown as Views, inputs);
  };

/**
 * A policy adapter at decoding (IPA): a small language model, adapted by any method, beside a large one that nobody trains, with
 * p(token) ∝ p_base · p_adapter^α, in logits z_base + α·z_adapter. What it gives is the adapter of the small model, whose views are those of the product:
 * it generates, trains and is evaluated as any, and is saved alone. The paper trains it by Quark, and allows any other reinforcement learning:
 * `grpo` with `rollouts` of `@peftjs/trainer`, whose cost of leaving the base (β) is then that of leaving the large model. Both models must have one
 * tokenizer. Throws `bad-option`. Lu et al., 2023. https://arxiv.org/abs/2305.15065, with the formula of https://github.com/GXimingLu/IPA (`policy.py`).
 */
export const policyAdapter = (
  base: CausalLM,
  adapted: Adapted<CausalLM>,
  { weight = 1 }: PolicyAdapterOptions = {},
): Adapted<CausalLM> => {
  requireModel('policyAdapter', base, 'logits');
  requireAdapted('policyAdapter', adapted);
  if (!Number.isFinite(weight) || weight === 0)
    throw new PeftError('bad-option', `policyAdapter: weight must be a number other than 0, got ${weight}`);
  return {
    ...adapted,
    model: productOf(base, adapted.model, weight),
    training: (seed) => productOf(base, adapted.training(seed), weight),
    loss: (inputs, seed, options = {}) => {
      const { objective = supervised as Objective<never> } = options;
      const own = Object.assign(over(base, weight, objective as unknown as Objective), objective);
      return adapted.loss(inputs, seed, { ...options, objective: own as never });
    },
  };
};
