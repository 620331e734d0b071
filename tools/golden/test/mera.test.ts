import { join } from 'node:path';
import { pfeiffer } from '@peftjs/adapters';
import { attach } from '@peftjs/core';
import { mera } from '@peftjs/multitask';
import { reference } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

test('mera brings units together as exact optimal transport of Python does', async () => {
  const recorded = await recordedIn(join(import.meta.dirname, '../data/python/mera.safetensors'));
  const [base, executor] = [await loadModel(modelDir('square')), reference()];
  const there = (name: string): string => name.replace(/.*adapter_(down|up)\.?0?\.(weight|bias)$/, '$1 $2');
  const names: Readonly<Record<string, string>> = { 'down weight': 'down', 'down bias': 'bias', 'up weight': 'up' };
  const adapters = await Promise.all(
    [0, 1, 2].map(async (i) => {
      const adapted = attach(base, [pfeiffer({ bottleneck: 8 })]);
      for (const [name, v] of adapted.params) {
        const own = names[there(name)];
        if (own) await executor.write(v, Float32Array.from(recorded.get(`${i} ${own}`)!.data));
      }
      return adapted;
    }),
  );
  const merged = await mera(adapters, { executor, weights: [...recorded.get('weights')!.data] });
  let compared = 0;
  for (const [name, v] of merged.params) {
    const own = names[there(name)];
    if (!own) continue;
    expect(distance(await executor.read(v), recorded.get(`merged ${own}`)!.data), name).toBeLessThan(1e-5);
    compared++;
  }
  expect(compared).toBe(6); // two layers
});
