import { mustBe, type Rules, type Tensor } from '@peftjs/tensor';
import { addTerm, type Inputs, type Loss, type Pass, type Recompute, type TaskModel } from '@peftjs/transformer';
import type { Scope } from './method.ts';

/** The views of an adapted model in one training step. */
export interface Views<Out = Tensor> {
  /** The view for training; every call draws anew (dropout, routes, ranks). */
  train(): TaskModel<Out>;
  /** The view for evaluation. */
  readonly evaluate: TaskModel<Out>;
  /** The base without the adapter, over the same weights. */
  readonly base: TaskModel<Out>;
  /** Uniform values in [0, 1), drawn anew in every step, for chance of the objective's own; null where there is none. */
  readonly draw: Scope['draw'];
  /** The passes that training views have made so far; slots hold what methods left in them. */
  readonly passes: readonly Pass[];
}

/** The loss of a training step, made of views and the named inputs of a batch. */
export interface Objective<Out = Tensor> {
  (views: Views<Out>, inputs: Inputs): Loss;
  /** Names of the numbers that its losses report (`Loss.metrics`), those that are missed most first. Default: none. */
  readonly metrics?: readonly string[];
  /** Whether held-out data is measured by it too, of views without chance. Default: by the task's own loss. */
  readonly measures?: boolean;
}

/** The way that a training step's loss is made. */
export interface LossOptions {
  /** Default: the task's own loss. */
  readonly objective?: Objective<never>;
  /**
   * Gradient checkpointing in every view of the step: of each block, or of so many of each tower from its first on, only the input is kept, and its inner values are computed again in the
   * backward pass. Default false.
   */
  readonly recompute?: Recompute;
}

/** The rules for it. */
export const lossRules: Rules<LossOptions> = {
  objective: mustBe.fn,
  recompute: mustBe.such('true, false or a number of blocks', (v) => typeof v === 'boolean' || mustBe.count.accepts(v)),
};

/** The task's own loss, of one training view. */
export const supervised: Objective<unknown> = (views, inputs) => views.train().loss(inputs);

/** A patch's `objective` that adds a term of shape [] to the mean loss: orthogonality, sparsity. */
export const penalty =
  (term: (views: Views) => Tensor): ((inner: Objective) => Objective) =>
  (inner) =>
  (views, inputs) => {
    const loss = inner(views, inputs);
    return addTerm(loss, term(views));
  };
