import { grad } from '@peftjs/autograd';
import type { Tensor } from '@peftjs/tensor';
import { meanOf, type Path, type TaskModel } from '@peftjs/transformer';
import type { PrepareOptions } from '../method.ts';
import { collect } from './collect.ts';
import { withWeights } from './weights-of.ts';

/**
 * The sum over batches of `term` of the gradient of the mean loss by each layer's weight, [outDim, inDim], given to `take` layer by layer; the gradient itself unless said otherwise.
 * Throws `diverged`.
 */
export const eachGradient = (
  who: string,
  model: TaskModel,
  paths: readonly Path[],
  look: PrepareOptions,
  take: (path: Path, sum: Float32Array) => Promise<void> | void,
  term: (gradient: Tensor) => Tensor = (gradient) => gradient,
): Promise<void> =>
  collect(
    who,
    model,
    paths,
    look,
    {
      shapes: ({ outDim, inDim }) => ({ gradient: [outDim, inDim] }),
      terms: (whole, some, inputs) => {
        const { view, weights } = withWeights(whole, some);
        const gradients = grad(meanOf(view.loss(inputs)), [...weights]);
        return new Map(some.map((path, i) => [path, { gradient: term(gradients[i]!) }]));
      },
    },
    (path, { gradient }) => take(path, gradient!),
  );
