import { buildProgram, compile, type Tensor } from '@peftjs/tensor';
import type { Inputs } from '@peftjs/transformer';
import type { Examples, PrepareOptions } from '../method.ts';
import { inputsOf } from './inputs-of.ts';

/**
 * Sums over batches of tensors that a graph of each gives, by name. They are taken on the host, so it is for what is small. A program is made for each shape of batches.
 */
export const sumOutputs = async (
  { executor, data }: PrepareOptions,
  outputsOf: (inputs: Inputs) => Readonly<Record<string, Tensor>>,
): Promise<ReadonlyMap<string, Float64Array>> => {
  const sums = new Map<string, Float64Array>();
  const alike = new Map<string, Examples[]>();
  for (const batch of data) {
    const key = JSON.stringify(batch.shapes);
    alike.set(key, [...(alike.get(key) ?? []), batch]);
  }
  for (const batches of alike.values()) {
    const outputs = outputsOf(inputsOf(batches[0]!));
    const reads = buildProgram({ outputs }).inputs.map(({ name }) => name);
    const program = await compile({ outputs }, { executor });
    try {
      for (const { columns } of batches) {
        const found = await program.run(Object.fromEntries(reads.map((name) => [name, columns[name]!])));
        for (const [name, values] of Object.entries(found)) {
          const sum = sums.get(name) ?? new Float64Array(values.length);
          values.forEach((v, i) => void (sum[i]! += v));
          sums.set(name, sum);
        }
      }
    } finally {
      program.close();
    }
  }
  return sums;
};
