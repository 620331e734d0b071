import { attach, type Examples, load, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { autoLora } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const ids = Int32Array.from({ length: 12 }, (_, i) => 1 + ((i * 5) % 11));
const batch: Examples = { rows: 2, columns: { ids, labels: ids }, shapes: { ids: [2, 6], labels: [2, 6] } };
const options = { executor, train: [batch], validation: [batch], steps: 2, rank: 3 };

test('AutoLoRA finds ranks of its layers, and gives an ordinary LoRA that loads', async () => {
  const target = ['q_proj', 'down_proj'];
  const found = await autoLora(base, { ...options, target, learningRate: 0.05, selectionRate: 0.1 });
  expect(Object.keys(found.ranks)).toHaveLength(4);
  for (const [path, numbers] of Object.entries(found.selection)) {
    expect(
      numbers.some((c) => c !== 1),
      path,
    ).toBe(true);
    expect(found.ranks[path]).toBeGreaterThanOrEqual(1);
    expect(found.ranks[path]).toBeLessThanOrEqual(3);
  }
  const adapted = attach(base, [found.method]);
  for (const [path, rank] of Object.entries(found.ranks))
    expect(adapted.params.get(`${path}.lora_A.weight`)!.shape[0], path).toBe(rank);
  const files = memoryFiles();
  await save(adapted, files, { executor });
  expect((await load(base, files, [lora])).params.size).toBe(8);
});

test('AutoLoRA says what is amiss', async () => {
  await expect(autoLora(base, { ...options, steps: 0, train: [] })).rejects.toThrow(/train must be .*steps must be/);
  await expect(autoLora(base, { ...options, target: ['nowhere'] })).rejects.toMatchObject({ code: 'no-match' });
  const from = new Map([
    ['model.layers.0.self_attn.q_proj.lora_A.weight', [1]],
    ['lora_C', [1]],
  ]);
  await expect(autoLora(base, { ...options, from })).rejects.toThrow(/has 1 values.*there is no lora_C/);
});
