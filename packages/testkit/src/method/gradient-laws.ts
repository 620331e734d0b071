import { grad } from '@peftjs/autograd';
import type { Adapted } from '@peftjs/core';
import {
  add,
  constant,
  div,
  evaluate,
  mul,
  normalValues,
  type OpNode,
  randomSource,
  sizeOf,
  sub,
  sum,
  type Tensor,
  type Variable,
} from '@peftjs/tensor';
import { differenceOf, tolerances } from '@peftjs/tensor/testing';
import type { Law } from '../law.ts';
import { rebuild } from './rebuild.ts';
import type { MethodCase } from './row.ts';
import { ids, labels, seedOf, subjectOf } from './subject.ts';

/** Half the width of the central difference; a power of two, which f32 holds. */
const step = 2 ** -13;

/** The loss as training takes it. */
export const trainingLoss = ({ training, penalty }: Adapted, seed: Tensor = seedOf(1)): Tensor => {
  const term = penalty();
  const loss = training(seed).loss(ids, labels);
  return term ? add(loss, term) : loss;
};

const isStop = ({ op }: OpNode): boolean => op.name === 'stop_gradient';

/** (f(p + h·d) − f(p − h·d)) / 2h, as a graph. */
const difference = (loss: Tensor, p: Variable, d: Tensor, keep: (node: OpNode) => boolean): Tensor => {
  const at = (h: number): Tensor => rebuild(loss, new Map([[p.node, add(p, mul(d, h))]]), keep);
  return div(sub(at(step), at(-step)), 2 * step);
};

const gradients = (of: MethodCase): Law => ({
  name: 'gradients reach every parameter and equal differences',
  check: async () => {
    const { adapted, executor } = await subjectOf(of);
    const loss = trainingLoss(adapted);
    const params = [...adapted.params];
    const grads = grad(
      loss,
      params.map(([, p]) => p),
    );
    const problems: string[] = [];
    let wholeDiffers = false;
    for (const [i, [name, p]] of params.entries()) {
      const d = constant(normalValues(sizeOf(p.shape), 1, randomSource(13, name)), p.shape);
      const { gradient, along, partial, whole } = await evaluate(
        {
          gradient: grads[i]!,
          along: sum(mul(grads[i]!, d)),
          partial: difference(loss, p, d, isStop),
          whole: difference(loss, p, d, () => false),
        },
        executor,
      );
      if (!gradient!.some((v) => v !== 0)) problems.push(`${name}: no gradient reaches it`);
      const near = (values: typeof along): string | null =>
        differenceOf(along!, values!, { tolerance: tolerances.difference, shape: [1] });
      const wanted = of.row.detaches ? partial : whole;
      if (near(wanted) !== null)
        problems.push(
          `${name}: along a random direction the gradient gives ${along![0]}, the difference ${wanted![0]}`,
        );
      wholeDiffers ||= near(whole) !== null;
    }
    if (of.row.detaches === 'part' && !wholeDiffers)
      problems.push("the row says detaches: 'part', but the gradient is that of the whole function");
    if (problems.length > 0) throw new Error(problems.join('\n'));
  },
});

/** What training must see. */
export const gradientLaws = (of: MethodCase): readonly Law[] => [gradients(of)];
