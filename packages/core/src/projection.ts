import { PeftError, select, type Tensor, type Variable } from '@peftjs/tensor';
import type { ByParam, StepContext, Updates } from './gradient-transform.ts';

/** A step as a projection sees it: the learning rate, and what is fed at each step. */
export interface ProjectionStep extends Pick<StepContext, 'rate' | 'feed'> {
  /** The same step, where names begin so. */
  within(name: string): ProjectionStep;
}

/**
 * The way of parameters after the optimiser's step, inside the compiled step: soft thresholds, masks of entries that stay, norms that are kept.
 * `updated` gives what the optimiser made of a parameter, which as a tensor is still its value before. New values come out, of the method's own
 * parameters alone; others stay as the optimiser left them. A step that is not finite projects nothing. At a learning rate of 0 it must leave
 * all as it is, since schedules begin there.
 */
export type Projection = (updated: (param: Variable) => Tensor, step: ProjectionStep) => Updates;

/** Several as one: each is given what those before it made, and its feeds have names of their own. */
export const chainProjections =
  (projections: readonly Projection[]): Projection =>
  (updated, step) => {
    const made = new Map<Variable, Tensor>();
    for (const project of projections)
      for (const [param, value] of project((p) => made.get(p) ?? updated(p), step.within('projection')))
        made.set(param, value);
    return [...made];
  };

/** The parameters' new values once they are projected. Throws `bad-program` for a parameter that is not trained. */
export const projected = (
  project: Projection,
  next: ByParam,
  step: ProjectionStep & Pick<StepContext, 'finite'>,
): ByParam => {
  const updated = (param: Variable): Tensor => {
    const found = next.get(param);
    if (found) return found;
    throw new PeftError('bad-program', `train: a method projects ${param.node.name}, which is not trained`);
  };
  const made = project(updated, step.within('projection'));
  return new Map([...next, ...made.map(([param, now]) => [param, select(step.finite, now, updated(param))] as const)]);
};
