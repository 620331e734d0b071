import {
  type Decision,
  type GradientTransform,
  type LossOptions,
  lossRules,
  type Method,
  type Objective,
  type ParamHint,
  type Projection,
  supervised,
  type TrainedStep,
} from '@peftjs/core';
import { checkOptions, PeftError, randomUniform, type Shape, type Tensor, type Variable } from '@peftjs/tensor';
import {
  type Column,
  type Inputs,
  type Loss,
  type Model,
  parameters,
  requireModel,
  type TaskModel,
} from '@peftjs/transformer';

/** The trained part: a model with an adapter (`attach` gives one), or all of a model. */
export interface Trainable {
  /** The view to evaluate. */
  readonly model: TaskModel<unknown>;
  /**
   * The loss of a step: an objective (default: the task's own loss) of training views, with dropout from `seed`, and the methods' terms. With
   * `recompute` views recompute their blocks in the backward pass.
   */
  loss(inputs: Inputs, seed: Tensor, options?: LossOptions): Loss;
  readonly params: ReadonlyMap<string, Variable>;
  /** Hints about some of them: how they want to be stepped, where not as usual. */
  readonly hints: ReadonlyMap<Variable, ParamHint>;
  /** The way of their gradients before the optimiser is given them: projections, masks; null for none. */
  readonly transform: GradientTransform | null;
  /** Their own way after the optimiser's step: thresholds, masks; null for none. */
  readonly project: Projection | null;
  /** Columns that batches must have beside the model's and the task's. */
  readonly columns: Readonly<Record<string, Column>>;
  /** Frozen tensors that a step or a decision may change; in checkpoints beside `params`. */
  readonly state: ReadonlyMap<string, Variable>;
  /** Tensors that only training needs; in checkpoints too. */
  readonly running: ReadonlyMap<string, Variable>;
  /** Peak learning rate of AdamW to begin with; null where none is known. */
  readonly learningRate: number | null;
  /** The frozen base and the method, where it is an adapter: checkpoints tell by them whose they are. */
  readonly base?: Model;
  readonly method?: Pick<Method, 'name' | 'config'>;
  /** Further updates of every step. */
  statistics(step: TrainedStep): readonly (readonly [Variable, Tensor])[];
  /** The decision taken on the host between steps. */
  readonly decision: Decision | null;
}

/** All weights of a model, for pretraining and full fine-tuning. They change in place on the executor that trains. */
export const allWeights = (model: TaskModel<unknown>): Trainable => {
  requireModel('allWeights', model);
  const params = parameters(model);
  return {
    model,
    loss: (inputs, seed, options = {}) => {
      let draws = 0;
      checkOptions('loss', lossRules, options);
      const { objective = supervised, recompute = false } = options;
      const view = recompute ? model.with({ recompute }) : model;
      const views = {
        train: () => view,
        evaluate: view,
        get base(): TaskModel<unknown> {
          throw new PeftError(
            'bad-option',
            'allWeights: the objective compares with the base, of which nothing is left as it was; train an adapter, or give the objective another model to compare with',
          );
        },
        draw: (shape: Shape) => randomUniform(seed, shape, draws++),
        passes: [],
      };
      return (objective as Objective<unknown>)(views, inputs);
    },
    params,
    hints: new Map(),
    transform: null,
    project: null,
    columns: {},
    state: params,
    running: new Map(),
    // Hugging Face's `TrainingArguments`.
    learningRate: 5e-5,
    statistics: () => [],
    decision: null,
  };
};
