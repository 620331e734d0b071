import type { Method, MethodFormat } from '@peftjs/core';
import type { TaskModel } from '@peftjs/transformer';
import type { Sizes } from '../bases.ts';

/** A method as its package exports it. */
export type AnyFactory = MethodFormat & ((options: never) => Method);

/** The options of a method. */
export type OptionsOf<F> = F extends (options: infer O) => Method
  ? O
  : F extends (options?: infer O) => Method
    ? O
    : never;

/** The row of a method: all that the laws must be told; the rest they find out. */
export interface MethodRow<O = never> {
  /** Small ones, for the tiny models. */
  readonly options: O | ((model: TaskModel) => O);
  /** How many values are trained, by a formula of the model's sizes; those of the task's own head apart. */
  parameters(model: TaskModel): number;
  /** `false`: the first values change the function. `'near'`: they keep it up to rounding. Default: exactly. */
  readonly identity?: false | 'near';
  /** `false`: it sees whole sequences, so what comes later changes what came before. Default: it must not. */
  readonly causal?: false;
  /** `true`: texts of a batch change each other. Default: they must not. */
  readonly together?: true;
  /**
   * Where it treats part of the function as constant in the gradient: `'backbone'`, so that none of the base's activations are kept for a
   * backward pass through it; `'part'`, some term. Default: the gradient is that of the whole function.
   */
  readonly detaches?: 'backbone' | 'part';
  /**
   * Models that it is not for, with what its error says; null for those that it takes. The law of such a model is that attaching throws a
   * `PeftError` that says this.
   */
  refuses?(model: TaskModel): RegExp | null;
  /**
   * Of one whose view takes no further method, but in a list: what the error of attaching one says. Default: any may be attached to its view
   * afterwards.
   */
  readonly atOnce?: RegExp;
  /** Methods inside it, which `load` must be told of too. */
  readonly formats?: readonly MethodFormat[];
  /** For the law that it learns. Default 0.03. */
  readonly learningRate?: number;
}

/** A method on a tiny model: what a law is about. */
export interface MethodCase {
  readonly factory: AnyFactory;
  readonly row: MethodRow;
  /** A base model; the weights are the same each time. */
  base(sizes?: Sizes): TaskModel;
}
