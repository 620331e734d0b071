import type { Factory } from '@peftjs/cli/shared';
import { type Adapted, attach, type Examples, type Method, prepare } from '@peftjs/core';
import { type Executor, isPeftError, sizeOf } from '@peftjs/tensor';
import { makeBatch, type TokenRows } from '@peftjs/trainer';
import type { Length } from './length.ts';
import { budget, candidates, type Options } from './sizes.ts';
import type { Ground } from './trial.ts';

/** A method at the budget, ready to be attached. */
export interface Sized {
  readonly name: string;
  readonly options: Options;
  /** Trained values. */
  readonly parameters: number;
  readonly method: Method;
}

const trainedOf = ({ params }: Adapted): number => [...params.values()].reduce((n, { shape }) => n + sizeOf(shape), 0);

const examplesOf = ({ rows, context }: TokenRows, size: number): Examples[] =>
  Array.from({ length: 8 }, (_, i) => makeBatch(rows.slice(i * size, (i + 1) * size), size, context));

/** The options whose trained parameters are nearest to the budget. Throws what `attach` throws where none can be attached. */
export const sized = async (
  factory: Factory,
  { model, train: { rows, context } }: Ground,
  { steps, batchSize }: Length,
  executor: Executor,
): Promise<Sized> => {
  const data = examplesOf({ rows, context }, batchSize);
  let best: Sized | null = null;
  let failure: unknown;
  for (const options of candidates(factory, model, steps))
    try {
      const method = factory(options);
      const ready = method.prepare ? (await prepare(model, [method], { data, executor }))[0]! : method;
      const parameters = trainedOf(attach(model, [ready]));
      const off = Math.abs(parameters - budget);
      if (best && off >= Math.abs(best.parameters - budget)) continue;
      best = { name: factory.name, options, parameters, method: ready };
    } catch (error) {
      if (!isPeftError(error)) throw error;
      failure = error;
    }
  if (best) return best;
  throw failure;
};
