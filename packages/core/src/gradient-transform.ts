import {
  add,
  type DType,
  mul,
  PeftError,
  type Shape,
  select,
  type Tensor,
  type TypedArray,
  type Variable,
} from '@peftjs/tensor';
import type { FoundRule } from './found.ts';

/** Tensors by the parameter that they belong to. */
export type ByParam = ReadonlyMap<Variable, Tensor>;

/** New values of variables. */
export type Updates = readonly (readonly [Variable, Tensor])[];

/** How a parameter wants to be stepped. */
export interface ParamHint {
  /** Multiplies the learning rate: 16 for B of LoRA+. Default 1. */
  readonly rate?: number;
  /** Whether weight decay applies. Default: to tensors of two or more axes. */
  readonly decay?: boolean;
}

/** Gradients on their way to the parameters: `values` times `scale`. */
export interface Gradients {
  readonly values: ByParam;
  /** A factor of all of them that nobody has multiplied in yet, `clip`'s: a kernel that takes it saves a pass. Default 1. */
  readonly scale?: Tensor;
}

/** Gradients as a transform hands them on, and what it keeps. What comes out at the end is added to the parameters. */
export interface Transformed extends Gradients {
  /** New values of what it keeps. They are dropped in a step that is not finite. */
  readonly state: Updates;
  /**
   * The parameters' new values, where a kernel makes them in place. Default: parameter plus value. A transform that gives them sees to it
   * itself that they and the state stay as they are where `step.finite` is 0.
   */
  readonly next?: ByParam;
  /**
   * The values that held-out data is measured by and that are left at the end of a run, made of parameters and of what is kept for them, where these are not the ones that are trained: an average.
   * Default: the parameters.
   */
  readonly resting?: ByParam;
}

/** One step of a run, as a transform sees it. */
export interface StepContext {
  /** The learning rate, a scalar. */
  readonly rate: Tensor;
  /** 1, or 0 where the loss or the gradient is not finite; a scalar. */
  readonly finite: Tensor;
  hint(param: Variable): ParamHint;
  /** A variable kept for a parameter from step to step, zeros at first. The run makes it, names it and writes it to checkpoints. */
  state(param: Variable, name: string, shape?: Shape, dtype?: DType): Variable;
  /**
   * A tensor kept for a parameter whose values the host finds, of those of the steps in which they are due: a basis by a decomposition of a gradient.
   * Those steps wait for the host, the others don't.
   */
  found(param: Variable, name: string, shape: Shape, rule: FoundRule): Variable;
  /** A tensor fed at every step: its values by step, counted from 0, and learning rate. */
  feed(name: string, shape: Shape, values: (step: number, rate: number) => TypedArray): Tensor;
  /** The same step, where names begin with that of a transform. */
  within(name: string): StepContext;
}

/**
 * A gradient transform: what becomes of gradients on their way to the parameters. Optimisers are that, and clipping, projections, masks.
 * It is a description, without state: `update` is called once for each run, and what it keeps belongs to that run. After optax.
 * https://github.com/google-deepmind/optax
 */
export interface GradientTransform {
  /** Heads the names of what it keeps; '' for one that is only made of others. */
  readonly name: string;
  /** Whether it turns gradients into steps: downhill, by the learning rate. A run takes exactly one that does. Default: no. */
  readonly steps?: boolean;
  /** The learning rate of a run that is told none, of an optimiser that finds its step size by itself. Default: that of what is trained. */
  readonly rate?: number;
  update(gradients: Gradients, step: StepContext): Transformed;
}

/** Whether weight decay applies to a parameter: as its hint says, else to those of two or more axes. */
export const decays = (step: StepContext, param: Variable): boolean => step.hint(param).decay ?? param.shape.length > 1;

/** Gradients with their factor multiplied in. */
export const unscaled = ({ values, scale }: Gradients): ByParam =>
  scale ? new Map([...values].map(([param, g]) => [param, mul(g, scale)])) : values;

/**
 * The result of a transform, in full: `next` for every parameter; that and the state stay as they are in a step that is
 * not finite.
 */
export const applied = (
  transform: GradientTransform,
  gradients: Gradients,
  step: StepContext,
): Transformed & { readonly next: ByParam } => {
  const made = transform.update(gradients, step.within(transform.name));
  if (made.next) return { ...made, next: made.next };
  const kept = (now: Tensor, before: Tensor): Tensor => select(step.finite, now, before);
  return {
    ...made,
    state: made.state.map(([v, now]) => [v, kept(now, v)]),
    next: new Map([...unscaled(made)].map(([param, change]) => [param, kept(add(param, change), param)])),
  };
};

/**
 * Transforms one after the other: each is given what the one before it made. `chain(clip(1), adamw())`. Throws `bad-option` when more than one
 * of them steps.
 */
export const chain = (...parts: readonly GradientTransform[]): GradientTransform => {
  const stepping = parts.filter((p) => p.steps);
  if (stepping.length > 1)
    throw new PeftError(
      'bad-option',
      `chain: ${stepping.map((p) => p.name || 'a chain').join(' and ')} are optimisers, each steps by the learning rate; give one`,
    );
  return {
    name: '',
    steps: stepping.length > 0,
    ...(stepping[0]?.rate !== undefined && { rate: stepping[0].rate }),
    update: (gradients, step) =>
      parts.reduce<Transformed>(
        (before, part) => {
          const now = applied(part, before, step);
          const resting = now.resting ?? before.resting;
          return { ...now, state: [...before.state, ...now.state], ...(resting && { resting }) };
        },
        { ...gradients, state: [] },
      ),
  };
};
