import type { Program } from '@peftjs/tensor';
import type { Lowered } from '../lower/lower.ts';
import type { SplitUpdates } from './split-updates.ts';

/**
 * The results of a graph that may be written over the variables they are the new values of: rows put in place of others, where no other node and no
 * optimiser's step reads the variable. A cache of keys and values then is one array, and a step writes a row of it instead of copying all.
 */
export const overwritten = (
  { model, feeds, results }: Lowered,
  { rest, steps }: SplitUpdates,
  first: number,
): ReadonlySet<string> => {
  const maker = new Map(model.nodes.flatMap((n) => n.outputs.map((name) => [name, n] as const)));
  const readers = new Map<string, number>();
  for (const name of model.nodes.flatMap((n) => n.inputs)) readers.set(name, (readers.get(name) ?? 0) + 1);
  const readLater = new Set(steps.flatMap(({ grad, hyper }) => [grad.node, hyper.node]));
  const isOver = (name: string, [variable]: Program['updates'][number]): boolean => {
    const { type, attributes, inputs } = maker.get(name)!;
    const read = inputs[0]!;
    return (
      type === 'ScatterND' &&
      attributes['reduction'] === undefined &&
      feeds.get(read) === variable.node &&
      readers.get(read) === 1 &&
      !readLater.has(variable.node)
    );
  };
  return new Set(
    rest.flatMap((update, i) => {
      const name = results[first + i]!;
      return name !== null && isOver(name, update) ? [name] : [];
    }),
  );
};
