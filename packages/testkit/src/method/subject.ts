import { type Adapted, attach, type Examples, type Method, prepare } from '@peftjs/core';
import { constant, type Executor, evaluate, reference, sizeOf, type Tensor, type TypedArray } from '@peftjs/tensor';
import type { Inputs, TaskModel, Tower } from '@peftjs/transformer';
import { shake, tokens } from '@peftjs/transformer/testing';
import type { MethodCase, MethodRow } from './row.ts';

/** Two rows of tokens, and what follows each; two further ones. */
const texts: readonly (readonly [ids: Tensor, next: Tensor])[] = [
  [tokens([1, 5, 2, 9, 4, 11], [3, 7, 12, 0, 8, 6]), tokens([5, 2, 9, 4, 11, -100], [7, 12, 0, 8, 6, 1])],
  [tokens([10, 6, 3, 3, 1, 2], [0, 8, 5, 11, 7, 4]), tokens([6, 3, 3, 1, 2, 10], [8, 5, 11, 7, 4, 0])],
];
const other: Tensor = tokens([6, 3, 10, 1], [4, 4, 12, 9]);
const kinds: Tensor = tokens([0, 0, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1]);

/** A batch of pictures, each with values of its own; the same for the same seed. */
export const picturesOf = ({ reads }: Tower, rows: number, seed: number): Tensor => {
  const shape = [rows, ...reads.picture!];
  return constant(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin((i + 1) * (seed + 1.7))),
    shape,
  );
};

/** A batch of two rows for a model: the text goes to the tower that the task reads, another one to a tower before it; pictures to a tower of such. */
export const inputsOf = ({ towers, main, task }: TaskModel, text = 0): Inputs => {
  const [ids, next] = texts[text]!;
  const { shape } = task.columns['labels']!;
  return {
    ...Object.fromEntries(
      towers.map((tower) => [
        tower.reads.ids,
        tower.reads.picture ? picturesOf(tower, 2, text) : tower === main ? ids : other,
      ]),
    ),
    ...Object.fromEntries(Object.keys(main.reads.kinds ?? {}).map((name) => [name, kinds])),
    labels: shape.length === 0 ? constant(Int32Array.of(2, 1), [2]) : next,
  };
};

const asExamples = (inputs: Inputs): Examples => {
  const data = ({ node }: Tensor): TypedArray =>
    node.kind === 'constant' ? (node.data as TypedArray) : new Int32Array();
  const entries = Object.entries(inputs);
  return {
    rows: 2,
    columns: Object.fromEntries(entries.map(([name, t]) => [name, data(t)])),
    shapes: Object.fromEntries(entries.map(([name, { shape }]) => [name, shape])),
  };
};

/** The data for methods that look at some. */
const examplesOf = (model: TaskModel): readonly Examples[] => texts.map((_, i) => asExamples(inputsOf(model, i)));

const optionsOf = ({ options }: MethodRow, model: TaskModel): object =>
  typeof options === 'function' ? (options as (model: TaskModel) => object)(model) : options;

/** The method of a case, with further options, as one makes it. */
export const methodOf = ({ factory, row }: MethodCase, base: TaskModel, more: object = {}): Method =>
  factory({ ...optionsOf(row, base), ...more } as never);

/** A method attached to a base, on the executor that holds its values. */
export interface Subject {
  readonly base: TaskModel;
  /** Prepared, where it wants that. */
  readonly method: Method;
  readonly adapted: Adapted<TaskModel>;
  readonly executor: Executor;
}

/** The method attached to a base of its own; its parameters moved away from their first values, unless said otherwise. */
export const subjectOf = async (
  of: MethodCase,
  { shaken = true, base = of.base(), more = {} }: { shaken?: boolean; base?: TaskModel; more?: object } = {},
): Promise<Subject> => {
  const executor = reference();
  const [method] = await prepare(base, [methodOf(of, base, more)], { data: examplesOf(base), executor });
  // Not the default seed: what a file leaves out must not come back by chance.
  const adapted = attach(base, [method!], { seed: 3 });
  if (shaken) await shake(adapted.params, { executor });
  return { base, method: method!, adapted, executor };
};

/** Values of one tensor. */
export const valuesOf = async (t: Tensor, executor: Executor): Promise<ArrayLike<number>> =>
  (await evaluate({ t }, { executor }))['t']!;

/** Logits of the batch. */
export const logitsOf = (model: TaskModel, executor: Executor): Promise<ArrayLike<number>> =>
  valuesOf(model.outputs(inputsOf(model)), executor);

/** The shape of those. */
export const logitsShape = (model: TaskModel): readonly number[] => model.outputs(inputsOf(model)).shape;

/** The seed of a training view, fixed. */
export const seedOf = (seed: number): Tensor => constant(Uint32Array.of(seed), []);
