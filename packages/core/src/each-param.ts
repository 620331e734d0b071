import { type DType, mul, type Shape, type Tensor, type Variable } from '@peftjs/tensor';
import type { FoundRule } from './found.ts';
import { decays, type GradientTransform, type StepContext, type Updates, unscaled } from './gradient-transform.ts';

/** A step of one parameter, as its rule sees it. */
export interface ParamStep extends Pick<StepContext, 'feed'> {
  readonly param: Variable;
  /** The learning rate, with the parameter's hint. */
  readonly rate: Tensor;
  /** Whether weight decay applies. */
  readonly decays: boolean;
  /** A variable kept from step to step, zeros at first. Default: of the parameter's shape. */
  state(name: string, shape?: Shape, dtype?: DType): Variable;
  /** The same, where the host finds the values. */
  found(name: string, shape: Shape, rule: FoundRule): Variable;
}

/** The change of a parameter, and new values of the state kept for it. */
export interface ParamChange {
  readonly change: Tensor;
  readonly state?: Updates;
}

/**
 * An optimiser that steps every parameter by itself: `rule` gives what is added to it, of its gradient. Hints, steps that are not finite and
 * a scale of the gradients are seen to.
 */
export const eachParam = (
  name: string,
  rule: (gradient: Tensor, step: ParamStep) => ParamChange,
): GradientTransform => ({
  name,
  steps: true,
  update: (gradients, step) => {
    const changed = [...unscaled(gradients)].map(([param, gradient]) => {
      const { rate = 1 } = step.hint(param);
      const made = rule(gradient, {
        param,
        rate: rate === 1 ? step.rate : mul(step.rate, rate),
        decays: decays(step, param),
        state: (slot, shape, dtype) => step.state(param, slot, shape, dtype),
        found: (slot, shape, rule) => step.found(param, slot, shape, rule),
        feed: step.feed,
      });
      return [param, made] as const;
    });
    return {
      values: new Map(changed.map(([param, { change }]) => [param, change])),
      state: changed.flatMap(([, { state = [] }]) => state),
    };
  },
});
