import type { ByParam, StepContext, Updates } from '@peftjs/core';
import { add, div, maximum, mul, select, type Tensor, type Variable } from '@peftjs/tensor';

const names = { sum: 'average', weight: 'averageWeight' } as const;

/**
 * The moving average of parameters over the steps, as further updates: a ← d·a + (1−d)·w of new values w, and the same of 1, by which it is divided, so that it is a mean from the first
 * step on. A step that is not finite leaves both. Kingma & Ba, 2014, section 7.2. https://arxiv.org/abs/1412.6980
 */
export const averaged = (
  updates: Updates,
  params: readonly Variable[],
  decay: number,
  step: Pick<StepContext, 'state' | 'finite'>,
): Updates => {
  const now = new Map(updates);
  const moved = (old: Variable, value: Tensor | number): readonly [Variable, Tensor] => {
    const share = typeof value === 'number' ? value * (1 - decay) : mul(value, 1 - decay);
    return [old, select(step.finite, add(mul(old, decay), share), old)];
  };
  return params.flatMap((param) => [
    moved(step.state(param, names.sum), now.get(param) ?? param),
    moved(step.state(param, names.weight, []), 1),
  ]);
};

/** The averages. Parameters that have not been stepped yet stay as they are. */
export const averagesOf = (params: readonly Variable[], step: Pick<StepContext, 'state'>): ByParam =>
  new Map(
    params.map((param) => {
      const weight = step.state(param, names.weight, []);
      const mean = div(step.state(param, names.sum), maximum(weight, 1e-30));
      return [param, select(weight, mean, param)] as const;
    }),
  );
