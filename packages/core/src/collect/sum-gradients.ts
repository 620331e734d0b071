import { grad } from '@peftjs/autograd';
import { buildProgram, compile, type Executable, PeftError, type Tensor } from '@peftjs/tensor';
import { type Inputs, type Loss, meanOf } from '@peftjs/transformer';
import type { PrepareOptions } from '../method.ts';
import { inputsOf } from './inputs-of.ts';

/**
 * The sum over batches of the gradient of the mean loss by some tensors, by their names. Sums are taken on the host, so it is for tensors that are small
 * beside the model: adapters, biases; `eachGradient` is for weights. Throws `diverged`.
 */
export const sumGradients = async (
  who: string,
  loss: (inputs: Inputs) => Loss,
  by: ReadonlyMap<string, Tensor>,
  { executor, data }: PrepareOptions,
): Promise<ReadonlyMap<string, Float64Array>> => {
  const names = [...by.keys()];
  const sums = new Map<string, Float64Array>();
  const programs = new Map<string, readonly [program: Executable, reads: readonly string[]]>();
  try {
    for (const batch of data) {
      const key = JSON.stringify(batch.shapes);
      if (!programs.has(key)) {
        const gradients = grad(meanOf(loss(inputsOf(batch))), [...by.values()]);
        const outputs = Object.fromEntries(names.map((name, i) => [name, gradients[i]!]));
        const reads = buildProgram({ outputs }).inputs.map(({ name }) => name);
        programs.set(key, [await compile({ outputs }, { executor }), reads]);
      }
      const [program, reads] = programs.get(key)!;
      const found = await program.run(Object.fromEntries(reads.map((name) => [name, batch.columns[name]!])));
      for (const name of names) {
        const sum = sums.get(name) ?? new Float64Array(found[name]!.length);
        found[name]!.forEach((g, i) => void (sum[i]! += g));
        sums.set(name, sum);
      }
    }
  } finally {
    for (const [program] of programs.values()) program.close();
  }
  const odd = names.filter((name) => !sums.get(name)?.every(Number.isFinite));
  if (odd.length > 0) throw new PeftError('diverged', `${who}: the gradient of ${odd.join(', ')} is not finite`);
  return sums;
};
