import { attach, averageAdapters } from '@peftjs/core';
import { evaluate, normalValues, randomSource, reference, sizeOf, type Tensor } from '@peftjs/tensor';
import { distance, tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { lLora } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const path = 'model.layers.0.self_attn.q_proj';

test('the updates of adapters of one seed add up', async () => {
  const trained = async (seed: number) => {
    const adapted = attach(base, [lLora({ rank: 2 })], { seed: 3 });
    for (const [name, v] of adapted.params)
      await executor.write(v, normalValues(sizeOf(v.shape), 0.3, randomSource(seed, name)));
    return adapted;
  };
  const [one, other] = [await trained(1), await trained(2)];
  const sum = await averageAdapters([one, other], { executor, weights: [0.5, 2], normalize: false });
  const weight = (from: typeof base): Tensor => from.linears.get(path)!.dense().weight;
  const { w, a, b, both } = (await evaluate(
    { w: weight(base), a: weight(one.model), b: weight(other.model), both: weight(sum.model) },
    { executor },
  )) as Record<string, Float32Array>;
  const expected = w!.map((v, i) => v + 0.5 * (a![i]! - v) + 2 * (b![i]! - v));
  expect(distance(both!, expected)).toBeLessThan(1e-6);
  expect(distance(a!, b!)).toBeGreaterThan(1e-2);
});

test('adapters of other seeds do not, and are refused', async () => {
  const [one, other] = [1, 2].map((seed) => attach(base, [lLora({ rank: 2 })], { seed }));
  await expect(averageAdapters([one!, other!], { executor })).rejects.toThrow('adapters that were made with one seed');
});
