import type { Objective } from '@peftjs/core';
import { evaluate, type Tensor } from '@peftjs/tensor';
import { differenceOf, mustBeNear, tolerances } from '@peftjs/tensor/testing';
import type { TaskModel } from '@peftjs/transformer';
import type { Law } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { inputsOf, logitsOf, logitsShape, seedOf, subjectOf } from './subject.ts';

/** Whether the factory has an option of that name. */
const hasOption = ({ factory, row, base }: MethodCase, name: string, value: unknown): boolean => {
  const { options } = row;
  const given = typeof options === 'function' ? (options as (model: TaskModel) => object)(base()) : (options as object);
  try {
    factory({ ...given, [name]: value } as never);
    return true;
  } catch {
    return false;
  }
};

const dropout = (of: MethodCase): Law => ({
  name: 'dropout acts in the training view alone, and follows the seed',
  check: async () => {
    const { adapted, executor } = await subjectOf(of, { more: { dropout: 0.5 } });
    const without = await subjectOf(of, { more: { dropout: 0 } });
    const wanted = await logitsOf(without.adapted.model, without.executor);
    const seeded = (seed: number): Promise<ArrayLike<number>> => logitsOf(adapted.training(seedOf(seed)), executor);
    const shape = logitsShape(adapted.base);
    const exact = { tolerance: tolerances.exact, shape };
    const plain = await logitsOf(adapted.model, executor);
    mustBeNear('logits for evaluation against those without dropout', plain, wanted, exact);
    const one = await seeded(1);
    mustBeNear('logits of the same seed', await seeded(1), one, exact);
    for (const [other, what] of [
      [plain, 'the view for evaluation'],
      [await seeded(2), 'another seed'],
    ] as const)
      if (differenceOf(other, one, { tolerance: tolerances.rounding }) === null)
        throw new Error(`a training view with dropout 0.5 computes the same as ${what}`);
  },
});

/** The options that drop something while training; not those that these options rule out. */
const dropouts = (of: MethodCase): string[] =>
  Object.keys('options' in of.factory ? (of.factory.options as object) : {}).filter(
    (name) => /dropout$/i.test(name) && hasOption(of, name, 0.5),
  );

/** Whether a graph has random bits in it. */
const isRandom = (t: Tensor): boolean => {
  const seen = new Set<Tensor['node']>();
  const stack = [t.node];
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (node.kind !== 'op' || seen.has(node)) continue;
    if (node.op.name === 'random_bits') return true;
    seen.add(node);
    stack.push(...node.inputs.flatMap((input) => input?.node ?? []));
  }
  return false;
};

const draws = (of: MethodCase): Law => ({
  name: 'each training view of a step draws anew, evaluation draws nothing',
  check: async () => {
    const more = Object.fromEntries(dropouts(of).map((name) => [name, 0.5]));
    const { adapted, executor } = await subjectOf(of, { more });
    if (isRandom(adapted.model.outputs(inputsOf(adapted.base))))
      throw new Error('the view for evaluation draws random values');
    const views: TaskModel[] = [];
    const twice: Objective = ({ train }, inputs) => {
      views.push(train() as TaskModel, train() as TaskModel);
      return views[0]!.loss(inputs);
    };
    adapted.loss(inputsOf(adapted.base), seedOf(1), { objective: twice as Objective<never> });
    const [first, second] = views.map((view) => view.outputs(inputsOf(view))) as [Tensor, Tensor];
    if (!isRandom(first)) return;
    const { a, b } = await evaluate({ a: first, b: second }, { executor });
    if (differenceOf(a!, b!, { tolerance: tolerances.rounding }) === null)
      throw new Error('two training views of one step draw the same values');
  },
});

/** The laws of what is drawn at random. */
export const chanceLaws = (of: MethodCase): readonly Law[] => [
  ...(hasOption(of, 'dropout', 0.5) ? [dropout(of)] : []),
  draws(of),
];
