import type { Decision, GradientTransform, ParamHint, TrainedStep } from '@peftjs/core';
import type { Tensor, Variable } from '@peftjs/tensor';
import { type CausalLM, parameters } from '@peftjs/transformer';

/** What the trainer trains: a model with an adapter (`attach` gives one), or all of a model. */
export interface Trainable {
  /** The view to evaluate. */
  readonly model: CausalLM;
  /** The view to train, with dropout from `seed`. */
  training(seed: Tensor): CausalLM;
  readonly params: ReadonlyMap<string, Variable>;
  /** How parameters want to be stepped, where not as usual. */
  readonly hints?: ReadonlyMap<Variable, ParamHint>;
  /** What becomes of their gradients before the optimiser is given them: projections, masks. */
  readonly transform?: GradientTransform | null;
  /** Frozen tensors that a step or a decision may change; in checkpoints beside `params`. */
  readonly state: ReadonlyMap<string, Variable>;
  /** What only training needs; in checkpoints too. */
  readonly running: ReadonlyMap<string, Variable>;
  /** Added to the loss. */
  penalty(): Tensor | null;
  /** Further updates of every step. */
  statistics(step: TrainedStep): readonly (readonly [Variable, Tensor])[];
  /** What is decided on the host between steps. */
  readonly decision: Decision | null;
}

/** All weights of a model, for pretraining and full fine-tuning. They change in place on the executor that trains. */
export const allWeights = (model: CausalLM): Trainable => {
  const params = parameters(model);
  return {
    model,
    training: () => model,
    params,
    state: params,
    running: new Map(),
    penalty: () => null,
    statistics: () => [],
    decision: null,
  };
};
