import { join } from 'node:path';
import { load } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { reference } from '@peftjs/tensor';
import { loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { composition } from '../../../packages/lora/src/hub/composition.ts';
import { recordedIn } from '../src/families.ts';
import { modelDir } from '../src/python-golden.ts';

const dir = join(import.meta.dirname, '../data/python/lorahub');

test("loraHub scores weights of three adapters as the authors' code does", async () => {
  const recorded = await recordedIn(join(dir, 'golden.safetensors'));
  const [base, executor] = [await loadModel(modelDir('plain')), reference()];
  const adapters = await Promise.all([0, 1, 2].map((i) => load(base, join(dir, `${i}`), [lora])));
  const column = (name: string): Int32Array => Int32Array.from(recorded.get(name)!.data);
  const shapes = { ids: [4, 12], labels: [4, 12] };
  const data = [{ rows: 4, columns: { ids: column('ids'), labels: column('labels') }, shapes }];
  const composed = await composition(adapters, { executor, data });
  const values = (name: string): Float32Array => recorded.get(name)!.data as Float32Array;
  for (const [k, score] of values('scores').entries()) {
    const weights = [...values('weights').subarray(k * 3, k * 3 + 3)];
    expect(await composed.lossOf(weights)).toBeCloseTo(values('losses')[k]!, 5);
    expect(await composed.scoreOf(weights)).toBeCloseTo(score, 5);
  }
  composed.close();
});
