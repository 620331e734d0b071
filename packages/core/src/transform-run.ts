import {
  type Feeds,
  input,
  PeftError,
  type Shape,
  sameShape,
  sizeOf,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { hostArray } from '@peftjs/tensor/executor';
import type { Found } from './found.ts';
import type { ParamHint, StepContext } from './gradient-transform.ts';

/** The state and the inputs of one run's transforms, shared by all programs of its step. */
export interface TransformRun {
  /**
   * The step of one program, as `update` is given it; `finite` is 1, or 0 where that program's loss or gradient is not. `take` is given what the host finds for it;
   * without, a transform that asks for that is refused: `bad-program`.
   */
  step(finite: Tensor, take?: (found: Found) => void): StepContext;
  /** Every variable that the transforms keep, by its parameter. */
  readonly state: ReadonlyMap<Variable, readonly Variable[]>;
  /** Values of the transforms' inputs; steps are counted from 0. */
  feeds(step: number, rate: number): Feeds;
}

interface Feed {
  readonly tensor: Tensor;
  readonly values: (step: number, rate: number) => TypedArray;
}

/** Opens the state of a run's transforms: variables are made as they are asked for, and found again by the next program. */
export const makeTransformRun = (hints: ReadonlyMap<Variable, ParamHint> | undefined): TransformRun => {
  const state = new Map<Variable, Variable[]>();
  const made = new Map<string, Variable>();
  const fed = new Map<string, Feed>();
  const keep = (param: Variable, name: string, shape: Shape, dtype: Variable['dtype']): Variable => {
    const full = `${param.node.name}.${name}`;
    const known = made.get(full);
    if (known && (!sameShape(known.shape, shape) || known.dtype !== dtype))
      throw new PeftError('bad-program', `train: ${full} is asked for as ${dtype} [${shape}], it is [${known.shape}]`);
    if (known) return known;
    const fresh = variable(full, shape, () => hostArray(dtype, sizeOf(shape)), dtype);
    made.set(full, fresh);
    state.set(param, [...(state.get(param) ?? []), fresh]);
    return fresh;
  };
  const feed = (name: string, shape: Shape, values: Feed['values']): Tensor => {
    const known = fed.get(name) ?? { tensor: input(name, shape), values };
    fed.set(name, known);
    return known.tensor;
  };
  return {
    step: (finite, take) => {
      const taken = new Set<string>();
      /** The name itself, or with a number where another transform has it. */
      const own = (name: string): string => {
        let found = name;
        for (let i = 2; taken.has(found); i++) found = `${name}${i}`;
        taken.add(found);
        return found;
      };
      const contextOf = (prefix: string): StepContext => ({
        // Fed only where a transform asks for it.
        get rate() {
          return feed('learningRate', [], (_, now) => Float32Array.of(now));
        },
        finite,
        hint: (param) => hints?.get(param) ?? {},
        state: (param, name, shape = param.shape, dtype = 'f32') => keep(param, `${prefix}${name}`, shape, dtype),
        found: (param, name, shape, rule) => {
          if (!take)
            throw new PeftError(
              'bad-program',
              `train: ${prefix}${name} is found on the host, which has no part in this step`,
            );
          const variable = keep(param, `${prefix}${name}`, shape, 'f32');
          take({ ...rule, variable });
          return variable;
        },
        feed: (name, shape, values) => feed(`${prefix}${name}`, shape, values),
        within: (name) => (name ? contextOf(`${own(`${prefix}${name}`)}.`) : contextOf(prefix)),
      });
      return contextOf('');
    },
    state,
    feeds: (step, now) => Object.fromEntries([...fed].map(([name, { values }]) => [name, values(step, now)])),
  };
};
