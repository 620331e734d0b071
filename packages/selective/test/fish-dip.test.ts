import { attach, type Examples, load, makeBetween, prepare, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { evaluate, reference, type Variable } from '@peftjs/tensor';
import { type CausalLM, meanOf } from '@peftjs/transformer';
import { shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { fishDip, fishMask } from '../src/index.ts';

const texts = [
  [1, 5, 2, 9],
  [3, 7, 12, 0],
  [10, 6, 3, 3],
  [4, 4, 8, 1],
  [11, 2, 5, 6],
];
const rowOf = (ids: readonly number[]): Examples => ({
  rows: 1,
  columns: { ids: Int32Array.from(ids), labels: Int32Array.of(...ids.slice(1), -100) },
  shapes: { ids: [1, 4], labels: [1, 4] },
});
const executor = reference();
const keep = 0.04;

/** The weights that fishMask chooses by the three hardest examples of a model, as "path place". */
const expectedIn = async (model: CausalLM, paths: readonly string[]): Promise<string[]> => {
  const losses: (readonly [number, Examples])[] = [];
  for (const ids of texts) {
    const loss = meanOf(model.loss({ ids: tokens(ids), labels: tokens([...ids.slice(1), -100]) }));
    losses.push([(await evaluate({ loss }, { executor }))['loss']![0]!, rowOf(ids)]);
  }
  const hard = losses.sort(([a], [b]) => b - a).slice(0, 3);
  const data = hard.map(([, row]) => row);
  const [method] = await prepare(model, [fishMask({ keep, target: paths })], { executor, data });
  const found: string[] = [];
  for (const [name, v] of attach(model, [method!]).state)
    if (name.endsWith('.fish_index'))
      for (const place of await executor.read(v)) found.push(`${name.replace('.fish_index', '')} ${place}`);
  return found.sort();
};

const openIn = async (running: ReadonlyMap<string, Variable>): Promise<string[]> => {
  const found: string[] = [];
  for (const [name, v] of running)
    for (const [place, open] of (await executor.read(v)).entries())
      if (open === 1) found.push(`${name.replace('.weight_open', '')} ${place}`);
  return found.sort();
};

test('fishDip trains the weights that the hardest examples choose, anew by period, and saves what has changed', async () => {
  const base = tinyLlama();
  const data = texts.map(rowOf);
  const [method] = await prepare(base, [fishDip({ keep, period: 2 })], { executor, data });
  const adapted = attach(base, [method!]);
  const paths = [...adapted.params.keys()].map((name) => name.replace('.weight_change', ''));
  const first = await openIn(adapted.running);
  expect(first).toEqual(await expectedIn(base, paths));

  await shake(adapted.params, { executor });
  expect([1, 2, 3, 4].map((step) => adapted.decision!.due(step))).toEqual([false, true, false, true]);
  const params = adapted.params.values();
  await adapted.decision!.run(2, makeBetween({ executor, params, state: new Map(), rewarm: () => {} }));
  const second = await openIn(adapted.running);
  expect(second).toEqual(await expectedIn(adapted.model, paths));
  expect(second).not.toEqual(first);

  const [path, change] = [...adapted.params][0]!;
  for (const v of adapted.params.values()) await executor.write(v, new Float32Array(v.shape[0]! * v.shape[1]!));
  await executor.write(
    change,
    Float32Array.from({ length: change.shape[0]! * change.shape[1]! }, (_, i) => (i === 5 ? 2 : 0)),
  );
  const files = memoryFiles(new Map());
  await save(adapted, files, { executor });
  const { state } = await load(base, files, [fishDip]);
  const values = await Promise.all([...state].map(async ([name, v]) => [name, [...(await executor.read(v))]]));
  const layer = path.replace('.weight_change', '');
  expect(Object.fromEntries(values)).toEqual({ [`${layer}.sparse_values`]: [2], [`${layer}.sparse_index`]: [5] });
});
