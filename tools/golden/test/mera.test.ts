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

test.each(['weights', 'activity'])(
  'mera brings units together by %s as exact optimal transport of Python does',
  async (by) => {
    const recorded = await recordedIn(join(import.meta.dirname, '../data/python/mera.safetensors'));
    const [base, executor] = [await loadModel(modelDir('square')), reference()];
    const part = (name: string): string => name.replace(/.*adapter_(down|up)\.?0?\.(weight|bias)$/, '$1 $2');
    const names: Readonly<Record<string, string>> = { 'down weight': 'down', 'down bias': 'bias', 'up weight': 'up' };
    const adapters = await Promise.all(
      [0, 1, 2].map(async (i) => {
        const adapted = attach(base, [pfeiffer({ bottleneck: 8 })]);
        for (const [name, v] of adapted.params) {
          const own = names[part(name)];
          if (own) await executor.write(v, Float32Array.from(recorded.get(`${i} ${own}`)!.data));
        }
        return adapted;
      }),
    );
    const weights = [...recorded.get('weights')!.data];
    const ids = Int32Array.from(recorded.get('ids')!.data);
    // In batches of one and of the other row, so that sums over batches are taken too.
    const data = [0, 1].map((row) => ({
      rows: 1,
      columns: { ids: ids.subarray(row * 40, (row + 1) * 40) },
      shapes: { ids: [1, 40] },
    }));
    const merged = await mera(adapters, { executor, weights, ...(by === 'activity' && { data }) });
    let compared = 0;
    for (const [name, v] of merged.params) {
      const own = names[part(name)];
      if (!own) continue;
      const there = recorded.get(
        by === 'weights' ? `merged ${own}` : `active ${/layers\.(\d)/.exec(name)![1]} ${own}`,
      )!;
      expect(distance(await executor.read(v), there.data), name).toBeLessThan(1e-5);
      compared++;
    }
    expect(compared).toBe(6); // two layers
  },
);
