import { join } from 'node:path';
import { attach, prepare } from '@peftjs/core';
import { reference } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { choosing, recordedRows } from '../src/choosing.ts';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

test.each(Object.entries(choosing))('%s chooses the weights that Python chooses', async (name, make) => {
  const recorded = await recordedIn(join(import.meta.dirname, '../data/python/masks.safetensors'));
  const data = recordedRows(recorded);
  const [base, executor] = [await loadModel(modelDir('plain')), reference()];
  const method = make(recorded.get(`${name} keep`)!.data[0]!);
  const { state } = attach(base, await prepare(base, [method], { executor, data }));
  const chosen = new Map<string, number[]>();
  for (const [tensor, v] of state) {
    if (tensor.endsWith('.lora_A')) chosen.set(tensor.replace('.lora_A', ''), [-1]);
    if (tensor.endsWith('_index')) chosen.set(tensor.replace(/\.\w+_index$/, ''), [...(await executor.read(v))]);
  }
  const theirs = [...recorded].flatMap(([key, { data: places }]) =>
    key.startsWith(`${name} model.`) ? [[key.slice(name.length + 1), [...places]] as const] : [],
  );
  expect(theirs.length).toBeGreaterThan(0);
  expect(Object.fromEntries(chosen)).toEqual(Object.fromEntries(theirs));
});
