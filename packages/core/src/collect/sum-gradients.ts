import { grad } from '@peftjs/autograd';
import { PeftError, type Tensor } from '@peftjs/tensor';
import { type Inputs, type Loss, meanOf } from '@peftjs/transformer';
import type { PrepareOptions } from '../method.ts';
import { sumOutputs } from './sum-outputs.ts';

/**
 * The sum over batches of the gradient of the mean loss by some tensors, by their names. Sums are taken on the host, so it is for tensors that are small
 * beside the model: adapters, biases; `eachGradient` is for weights. Throws `diverged`.
 */
export const sumGradients = async (
  who: string,
  loss: (inputs: Inputs) => Loss,
  by: ReadonlyMap<string, Tensor>,
  look: PrepareOptions,
): Promise<ReadonlyMap<string, Float64Array>> => {
  const names = [...by.keys()];
  const sums = await sumOutputs(look, (inputs) => {
    const gradients = grad(meanOf(loss(inputs)), [...by.values()]);
    return Object.fromEntries(names.map((name, i) => [name, gradients[i]!]));
  });
  const odd = names.filter((name) => !sums.get(name)?.every(Number.isFinite));
  if (odd.length > 0) throw new PeftError('diverged', `${who}: the gradient of ${odd.join(', ')} is not finite`);
  return sums;
};
