import { type Adapted, attach, type Examples, type Method, prepare } from '@peftjs/core';
import { constant, type Executor, evaluate, reference, type Tensor } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { shake, tokens } from '@peftjs/transformer/testing';
import type { MethodCase, MethodRow } from './row.ts';

/** Two rows of tokens, and what follows each. */
export const ids: Tensor = tokens([1, 5, 2, 9, 4, 11], [3, 7, 12, 0, 8, 6]);
export const labels: Tensor = tokens([5, 2, 9, 4, 11, -100], [7, 12, 0, 8, 6, 1]);

const asExamples = (inputs: Tensor, targets: Tensor): Examples => {
  const data = ({ node }: Tensor): Int32Array =>
    node.kind === 'constant' ? (node.data as Int32Array) : new Int32Array();
  const [rows, length] = inputs.shape as readonly [number, number];
  return {
    rows,
    columns: { ids: data(inputs), labels: data(targets) },
    shapes: { ids: [rows, length], labels: [rows, length] },
  };
};

/** The data for methods that look at some. */
const examples: readonly Examples[] = [
  asExamples(ids, labels),
  asExamples(tokens([10, 6, 3, 3, 1, 2], [0, 8, 5, 11, 7, 4]), tokens([6, 3, 3, 1, 2, 10], [8, 5, 11, 7, 4, 0])),
];

const optionsOf = ({ options }: MethodRow, model: CausalLM): object =>
  typeof options === 'function' ? (options as (model: CausalLM) => object)(model) : options;

/** The method of a case, with further options, as one makes it. */
export const methodOf = ({ factory, row }: MethodCase, base: CausalLM, more: object = {}): Method =>
  factory({ ...optionsOf(row, base), ...more } as never);

/** A method attached to a base, on the executor that holds its values. */
export interface Subject {
  readonly base: CausalLM;
  /** Prepared, where it wants that. */
  readonly method: Method;
  readonly adapted: Adapted;
  readonly executor: Executor;
}

/** The method attached to a base of its own; its parameters moved away from their first values, unless said otherwise. */
export const subjectOf = async (
  of: MethodCase,
  { shaken = true, base = of.base(), more = {} }: { shaken?: boolean; base?: CausalLM; more?: object } = {},
): Promise<Subject> => {
  const executor = reference();
  const [method] = await prepare(base, [methodOf(of, base, more)], { data: examples, executor });
  // Not the default seed: what a file leaves out must not come back by chance.
  const adapted = attach(base, [method!], { seed: 3 });
  if (shaken) await shake(adapted.params, { executor });
  return { base, method: method!, adapted, executor };
};

/** Values of one tensor. */
export const valuesOf = async (t: Tensor, executor: Executor): Promise<ArrayLike<number>> =>
  (await evaluate({ t }, { executor }))['t']!;

/** Logits of `ids`. */
export const logitsOf = (model: CausalLM, executor: Executor): Promise<ArrayLike<number>> =>
  valuesOf(model.logits(ids), executor);

/** The shape of those. */
export const logitsShape = ({ config }: CausalLM): readonly number[] => [...ids.shape, config.vocabSize];

/** The seed of a training view, fixed. */
export const seedOf = (seed: number): Tensor => constant(Uint32Array.of(seed), []);
