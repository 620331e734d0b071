import type { Factory } from '@peftjs/cli/shared';
import { type Adapted, attach, type Examples, type Method, prepare } from '@peftjs/core';
import { type Executor, isPeftError, sizeOf } from '@peftjs/tensor';
import { makeBatch, type TokenRows } from '@peftjs/trainer';
import type { Length } from './length.ts';
import { budget, candidates, type Options } from './sizes.ts';
import type { Ground } from './trial.ts';

/** A method at the budget. */
export interface Sized {
  readonly name: string;
  readonly options: Options;
  /** The method, prepared where it looks at data, which takes up to a minute: made when it is first asked for. */
  ready(): Promise<Ready>;
}

/** A method ready to be attached. */
export interface Ready {
  readonly method: Method;
  /** Trained values. */
  readonly parameters: number;
}

const trainedOf = ({ params }: Adapted): number => [...params.values()].reduce((n, { shape }) => n + sizeOf(shape), 0);

const examplesOf = ({ rows, context }: TokenRows, size: number): Examples[] =>
  Array.from({ length: 8 }, (_, i) => makeBatch(rows.slice(i * size, (i + 1) * size), size, context));

const distance = ({ parameters }: Ready): number => Math.abs(parameters - budget);

/** The options whose trained parameters are nearest to the budget; where there is one choice alone, it is made ready only when it is asked for. Throws what `attach` throws where none can be attached. */
export const sized = async (
  factory: Factory,
  { model, train: { rows, context } }: Ground,
  { steps, batchSize }: Length,
  executor: Executor,
): Promise<Sized> => {
  const makeReady = async (options: Options): Promise<Ready> => {
    const method = factory(options);
    const data = examplesOf({ rows, context }, batchSize);
    const ready = method.prepare ? (await prepare(model, [method], { data, executor }))[0]! : method;
    return { method: ready, parameters: trainedOf(attach(model, [ready])) };
  };
  const { name } = factory;
  const choices = candidates(factory, model, steps);
  if (choices.length === 1) {
    let made: Promise<Ready> | undefined;
    return { name, options: choices[0]!, ready: () => (made ??= makeReady(choices[0]!)) };
  }
  let best: { readonly options: Options; readonly ready: Ready } | undefined;
  let failure: unknown;
  for (const options of choices)
    try {
      const ready = await makeReady(options);
      if (!best || distance(ready) < distance(best.ready)) best = { options, ready };
    } catch (error) {
      if (!isPeftError(error)) throw error;
      failure = error;
    }
  if (!best) throw failure;
  const { options, ready } = best;
  return { name, options, ready: async () => ready };
};
