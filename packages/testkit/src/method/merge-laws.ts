import { type Merged, merge } from '@peftjs/core';
import { type Executor, evaluate, isPeftError } from '@peftjs/tensor';
import { mustBeNear, tolerances } from '@peftjs/tensor/testing';
import type { TaskModel } from '@peftjs/transformer';
import type { Law } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { logitsOf, logitsShape, type Subject, subjectOf } from './subject.ts';

const refuses = async ({ adapted, executor, method }: Subject): Promise<void> => {
  try {
    await merge(adapted, { executor });
  } catch (error) {
    if (isPeftError(error) && error.code === 'not-mergeable' && error.message.includes(method.name)) return;
    throw new Error(`merge must refuse with not-mergeable and name ${method.name}; it threw ${error}`, {
      cause: error,
    });
  }
  throw new Error(`merge must refuse, as ${method.name} says that it does not merge; it did not`);
};

/** ‖stored − exact‖ / ‖exact − base‖ of a layer, from its values. */
const measuredError = async (
  { adapted }: Subject,
  merged: Merged<TaskModel>,
  path: string,
  executor: Executor,
): Promise<number> => {
  const [stored, exact, before] = [merged, adapted, { model: adapted.base }].map(
    ({ model }) => model.linears.get(path)!.dense().weight,
  );
  const { a, b, c } = await evaluate({ a: stored!, b: exact!, c: before! }, { executor });
  const norm = (values: number[]): number => Math.hypot(...values);
  const error = norm(Array.from(a!, (v, i) => v - b![i]!));
  // A layer whose bias alone changed is stored as it was.
  return error === 0 ? 0 : error / norm(Array.from(b!, (v, i) => v - c![i]!));
};

const merges = async (subject: Subject): Promise<void> => {
  const { base, adapted, executor } = subject;
  const shape = logitsShape(base);
  const wanted = await logitsOf(adapted.model, executor);
  const dense = await merge(adapted, { executor, format: 'dense' });
  mustBeNear('logits of the merged model', await logitsOf(dense.model, executor), wanted, {
    tolerance: tolerances.merged,
    shape,
  });
  const merged = await merge(adapted, { executor });
  if (merged.errors.size === 0)
    mustBeNear("logits of the model merged in the base's format", await logitsOf(merged.model, executor), wanted, {
      tolerance: tolerances.merged,
      shape,
    });
  for (const [path, error] of merged.errors)
    mustBeNear(
      `${path}: the error that merge reports`,
      [error],
      [await measuredError(subject, merged, path, executor)],
      {
        tolerance: tolerances.rounding,
      },
    );
};

const law = (of: MethodCase): Law => ({
  name: of.factory.merges ? 'merges to the same function' : 'refuses to merge, by name',
  check: async () => {
    const subject = await subjectOf(of);
    await (of.factory.merges ? merges(subject) : refuses(subject));
  },
});

/** The laws of merging. */
export const mergeLaws = (of: MethodCase): readonly Law[] => [law(of)];
