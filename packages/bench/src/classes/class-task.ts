import { methods } from '@peftjs/cli/shared';
import { attach } from '@peftjs/core';
import type { ClassData } from '@peftjs/demo/classes';
import { allWeights, type Trainable } from '@peftjs/trainer';
import type { TaskModel } from '@peftjs/transformer';

/** The model of the tasks. */
export type Classifier = TaskModel<unknown>;

/** The library beside which a contender stands: Hugging Face PEFT, AdapterHub's adapters, or PyTorch with transformers alone. */
export type Peer = 'peft' | 'adapters' | 'torch';

/** Something that is trained. */
export interface Contender {
  readonly name: string;
  /** How it is set, for people. */
  readonly about: string;
  /** Where its rates begin, as a place in the grid of `rateAt`. */
  readonly first: number;
  /** Changes the base model itself, so that each run wants a new one. */
  readonly changesBase?: boolean;
  readonly peer?: Peer;
  make(model: Classifier, seed: number): Trainable;
}

/** Examples of classes, and what learns to tell them apart. */
export interface ClassTask {
  readonly name: 'spam' | 'images';
  readonly about: string;
  readonly steps: number;
  readonly batchSize: number;
  readonly contenders: readonly Contender[];
  /** Its examples and model; `model` is a folder, where the task has none of its own. */
  data(model: string): Promise<ClassData>;
}

/** A method of these options, at its first values. */
export const withMethod = (
  name: string,
  about: string,
  first: number,
  options: Readonly<Record<string, unknown>> = {},
): Contender => ({
  name,
  about,
  first,
  make: (model, seed) => attach(model, [methods.get(name)!(options)], { seed }),
});

/** All weights of the model. */
export const wholeModel = (first: number): Contender => ({
  name: 'all weights',
  about: 'no adapter',
  first,
  changesBase: true,
  make: (model) => allWeights(model),
});

/** Runs that are told in the table. */
export const seeds = [0, 1, 2] as const;

/** Steps of warm-up. */
export const warmupOf = ({ steps }: Pick<ClassTask, 'steps'>): number => Math.floor(steps / 15);

/** Of the examples to learn from each fourth is withheld while rates are looked for, and rates are judged by it. */
export const withheld = (data: ClassData): ClassData => ({
  ...data,
  train: data.train.filter((_, i) => i % 4 !== 3),
  test: data.train.filter((_, i) => i % 4 === 3),
});
