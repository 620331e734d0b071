import { grad } from '@peftjs/autograd';
import type { Adapted } from '@peftjs/core';
import { evaluate, type Tensor } from '@peftjs/tensor';
import { differenceOf, tolerances } from '@peftjs/tensor/testing';
import { meanOf, type TaskModel } from '@peftjs/transformer';
import { type Law, slopesOf } from '@peftjs/transformer/testing';
import type { MethodCase } from './row.ts';
import { inputsOf, seedOf, subjectOf } from './subject.ts';

/** The loss as training takes it. */
export const trainingLoss = ({ base, loss }: Adapted<TaskModel>, seed: Tensor = seedOf(1)): Tensor =>
  meanOf(loss(inputsOf(base), seed));

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
      const slopes = slopesOf(loss, p, grads[i]!, name);
      const { gradient, analytic, numeric, numericStopped } = await evaluate(
        { gradient: grads[i]!, ...slopes },
        { executor },
      );
      if (!gradient!.some((v) => v !== 0)) problems.push(`${name}: no gradient reaches it`);
      const near = (values: typeof analytic): string | null =>
        differenceOf(analytic!, values!, { tolerance: tolerances.difference, shape: [1] });
      const wanted = of.row.detaches ? numericStopped : numeric;
      if (near(wanted) !== null)
        problems.push(
          `${name}: along a random direction the gradient gives ${analytic![0]}, the difference ${wanted![0]}`,
        );
      wholeDiffers ||= near(numeric) !== null;
    }
    if (of.row.detaches === 'part' && !wholeDiffers)
      problems.push("the row says detaches: 'part', but the gradient is that of the whole function");
    if (problems.length > 0) throw new Error(problems.join('\n'));
  },
});

/** The laws of gradients. */
export const gradientLaws = (of: MethodCase): readonly Law[] => [gradients(of)];
