import type { ParamHint, StepContext } from '@peftjs/core';
import {
  type Feeds,
  input,
  type Shape,
  sizeOf,
  type Tensor,
  type TypedArray,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { hostArray } from '@peftjs/tensor/executor';

/** The state and the feeds of the transforms of one run. */
export interface TransformRun {
  /** The step that `update` is given. */
  readonly step: StepContext;
  /** Every variable that they keep, by its parameter. */
  readonly state: ReadonlyMap<Variable, readonly Variable[]>;
  /** Their feeds for the program of a step; steps are counted from 0. */
  feeds(step: number, rate: number): Feeds;
}

interface Feed {
  readonly tensor: Tensor;
  readonly values: (step: number, rate: number) => TypedArray;
}

/** Opens the state of a run's transforms: variables are made as they are asked for. */
export const makeTransformRun = (finite: Tensor, hints: ReadonlyMap<Variable, ParamHint> | undefined): TransformRun => {
  const state = new Map<Variable, Variable[]>();
  const made = new Map<string, Variable>();
  const fed = new Map<string, Feed>();
  const taken = new Set<string>();
  /** The name itself, or with a number where it is taken. */
  const own = (name: string): string => {
    let found = name;
    for (let i = 2; taken.has(found); i++) found = `${name}${i}`;
    taken.add(found);
    return found;
  };
  const feed = (full: string, shape: Shape, values: Feed['values']): Tensor => {
    const known = fed.get(full) ?? { tensor: input(full, shape), values };
    fed.set(full, known);
    return known.tensor;
  };
  const contextOf = (prefix: string): StepContext => ({
    // Fed only where a transform asks for it.
    get rate() {
      return feed('learningRate', [], (_, now) => Float32Array.of(now));
    },
    finite,
    hint: (param) => hints?.get(param) ?? {},
    state: (param, name, shape = param.shape, dtype = 'f32') => {
      const full = `${param.node.name}.${prefix}${name}`;
      const known = made.get(full) ?? variable(full, shape, () => hostArray(dtype, sizeOf(shape)), dtype);
      if (!made.has(full)) state.set(param, [...(state.get(param) ?? []), known]);
      made.set(full, known);
      return known;
    },
    feed: (name, shape, values) => feed(`${prefix}${name}`, shape, values),
    within: (name) => (name ? contextOf(`${own(`${prefix}${name}`)}.`) : contextOf(prefix)),
  });
  return {
    step: contextOf(''),
    state,
    feeds: (step, now) => Object.fromEntries([...fed].map(([name, { values }]) => [name, values(step, now)])),
  };
};
