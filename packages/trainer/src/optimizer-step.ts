import {
  applied,
  type ByParam,
  chain,
  type Found,
  type Gradients,
  type GradientTransform,
  makeTransformRun,
  projected,
  type TransformRun,
  type Updates,
} from '@peftjs/core';
import { isFinite, mul, mustBe, PeftError, type Rule, type Tensor, type Variable } from '@peftjs/tensor';
import { globalNorm } from './optimizers/global-norm.ts';
import type { Trainable } from './trainable.ts';

/** A step of the parameters, as parts of a program. */
export interface OptimizerStep extends Pick<TransformRun, 'state' | 'feeds'> {
  /** The parameters' new values. */
  readonly next: ByParam;
  /** New values of these and of what the optimiser keeps. In a step that is not finite all stay as they are. */
  readonly updates: Updates;
  /** Global L2 norm of the gradients, before anything is done to them. */
  readonly gradNorm: Tensor;
  /** 1, or 0 where the loss or that norm is not finite. */
  readonly finite: Tensor;
  /** Values to measure and to end with, where the optimiser makes others than it steps. */
  readonly resting?: ByParam;
  /** Tensors of the optimiser whose values the host finds, before the steps in which they are due. */
  readonly found: readonly Found[];
}

/** The rule for an optimiser among options. */
export const optimizerRule: Rule = mustBe.such(
  'an optimiser',
  (v) => typeof (v as GradientTransform | null)?.update === 'function',
);

/** The parameters of a run, those that are stepped alike side by side: they and their gradients can then lie end to end for one kernel. */
export const steppedParams = ({
  params,
  hints,
}: Pick<Trainable, 'params'> & Partial<Pick<Trainable, 'hints'>>): Variable[] => {
  const kinds = new Map<string, Variable[]>();
  for (const param of params.values()) {
    const { rate = 1, decay = param.shape.length > 1 } = hints?.get(param) ?? {};
    const kind = `${rate} ${decay}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), param]);
  }
  return [...kinds.values()].flat();
};

/**
 * One step of an optimiser, after the method's own transform and before its projection, where there are any. Its state is that of `run`; by default a run of its own. Throws
 * `bad-option` unless exactly one of the two steps.
 */
export const optimizerStep = (
  optimizer: GradientTransform,
  gradients: Gradients,
  loss: Tensor,
  { hints, transform, project }: Partial<Pick<Trainable, 'hints' | 'transform' | 'project'>> = {},
  run: TransformRun = makeTransformRun(hints),
): OptimizerStep => {
  if (!optimizer.steps)
    throw new PeftError(
      'bad-option',
      `train: the optimizer ${optimizer.name || '(a chain)'} never steps; end it with one that does: chain(clip(1), adamw())`,
    );
  const plain = globalNorm(gradients.values.values());
  const gradNorm = gradients.scale ? mul(plain, gradients.scale) : plain;
  const finite = mul(isFinite(gradNorm), isFinite(loss));
  const found: Found[] = [];
  const step = run.step(finite, (one) => found.push(one));
  const made = applied(transform ? chain(transform, optimizer) : optimizer, gradients, step);
  if (project && made.resting)
    throw new PeftError(
      'bad-option',
      'train: the optimizer ends with averages of the parameters, which the method would have to project too; use another optimiser with this method',
    );
  const next = project ? projected(project, made.next, step) : made.next;
  const { state, feeds } = run;
  return {
    next,
    updates: [...next, ...made.state],
    gradNorm,
    finite,
    found,
    state,
    feeds,
    ...(made.resting && { resting: made.resting }),
  };
};
