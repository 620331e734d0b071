import { attach, type Examples } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { selectPromptLayers } from '../src/index.ts';

const executor = reference();
const base = tinyLlama({ layers: 3 });
const batch = (step: number): Examples => {
  const ids = Int32Array.from({ length: 12 }, (_, i) => 1 + ((i * step) % 11));
  return { rows: 2, columns: { ids, labels: ids }, shapes: { ids: [2, 6], labels: [2, 6] } };
};
const options = { executor, train: [batch(5)], validation: [batch(3)], steps: 3, length: 2 };

test('the layers of the largest gates keep a prompt', async () => {
  const losses: number[] = [];
  const search = () => selectPromptLayers(base, { ...options, keep: 2, onStep: ({ loss }) => losses.push(loss) });
  const found = await search();
  expect(losses).toHaveLength(3);
  expect(new Set(found.gates.map((gate) => gate === 0))).toEqual(new Set([false]));
  const byGate = [0, 1, 2].sort((a, b) => found.gates[b]! - found.gates[a]!);
  expect(found.layers).toEqual(byGate.slice(0, 2).sort());
  expect(await search()).toMatchObject({ layers: found.layers, gates: found.gates });
  const { params } = attach(base, [found.method]);
  expect([...params.keys()]).toEqual(found.layers.map((i) => `model.layers.${i}.prompt_embeddings`));
});

test('more layers than there are cannot be kept', async () => {
  await expect(selectPromptLayers(base, { ...options, keep: 4 })).rejects.toThrow(/keep is 4, and the model has 3/);
});
