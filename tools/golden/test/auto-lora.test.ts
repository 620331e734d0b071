import { join } from 'node:path';
import type { Examples } from '@peftjs/core';
import { autoLora } from '@peftjs/hybrid';
import { distance } from '@peftjs/testkit';
import { causalLM, loadModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { familyModel, recordedIn } from '../src/families.ts';
import { executors } from './executors.ts';

const all = await recordedIn(join(import.meta.dirname, '../data/python/auto-lora.safetensors'));

const batchesOf = (kind: string): Examples[] =>
  [0, 1].map((i) => {
    const { shape, data } = all.get(`${kind} ${i}`)!;
    const ids = Int32Array.from(data);
    const labels = ids.map((_, at) => ((at + 1) % shape[1]! === 0 ? -100 : ids[at + 1]!));
    return { rows: shape[0]!, columns: { ids, labels }, shapes: { ids: shape, labels: shape } };
  });

const named = (beginning: string): Map<string, Float32Array> =>
  new Map(
    [...all].flatMap(([name, { data }]) => (name.startsWith(beginning) ? [[name.slice(beginning.length), data]] : [])),
  );

test.each(executors)('three steps of AutoLoRA are those of its authors, on %s', async (_, open) => {
  const executor = await open();
  const model = await loadModel(familyModel('qwen2-causal'), { task: causalLM() });
  const from = named('start ');
  const losses: number[] = [];
  const found = await autoLora(model, {
    executor,
    train: batchesOf('train'),
    validation: batchesOf('validation'),
    steps: 3,
    rank: 4,
    alpha: all.get('alpha')!.data[0]!,
    learningRate: 1e-2,
    selectionRate: 0.05,
    from,
    onStep: ({ loss }) => losses.push(loss),
  });
  expect(distance(losses, all.get('losses')!.data)).toBeLessThan(1e-4);
  const wanted = named('2 ');
  expect(Object.keys(found.selection).toSorted()).toEqual([...wanted.keys()].toSorted());
  for (const [path, c] of wanted) {
    expect(distance(found.selection[path]!, c), path).toBeLessThan(1e-3);
    const mean = c.reduce((a, b) => a + b, 0) / c.length;
    expect(found.ranks[path], path).toBe(c.filter((v) => v >= mean).length);
  }
  executor.close();
});
