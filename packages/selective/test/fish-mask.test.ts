import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { attach, combine, type Examples, load, prepare, save } from '@peftjs/core';
import { keepLargest } from '@peftjs/core/collect';
import { readAdapter, writeAdapter } from '@peftjs/io';
import { type Executor, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { type CausalLM, meanOf } from '@peftjs/transformer';
import { shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fishMask } from '../src/index.ts';

const rows = [
  { ids: [1, 5, 2, 9, 4, 11], labels: [5, 2, 9, 4, 11, -100] },
  { ids: [3, 7, 12, 0, 8, 6], labels: [7, 12, 0, 8, 6, 1] },
  { ids: [10, 6, 3, 3], labels: [6, -100, 3, 1] },
];
const examples = (given: readonly (typeof rows)[number][]): Examples => {
  const shape = [given.length, given[0]!.ids.length];
  const column = (name: 'ids' | 'labels'): Int32Array => Int32Array.from(given.flatMap((row) => row[name]));
  return {
    rows: given.length,
    columns: { ids: column('ids'), labels: column('labels') },
    shapes: { ids: shape, labels: shape },
  };
};
const data = [examples(rows.slice(0, 2)), examples(rows.slice(2))];

const prepared = async (model: CausalLM, executor: Executor, options = {}) =>
  (await prepare(model, [fishMask(options)], { executor, data }))[0]!;

/** Entries that are trained, as "path place". */
const chosenIn = async (model: CausalLM, method: Awaited<ReturnType<typeof prepared>>, executor: Executor) => {
  const { state } = attach(model, [method]);
  const all: string[] = [];
  for (const [name, v] of state)
    if (name.endsWith('.fish_index'))
      for (const place of await executor.read(v)) all.push(`${name.replace('.fish_index', '')} ${place}`);
  return all;
};

/** Every entry with its Fisher information, the largest first, from one gradient after the other. */
const byHand = async (model: CausalLM, executor: Executor, used: readonly (typeof rows)[number][]) => {
  const layers = [...model.linears].filter(([path]) => path !== 'lm_head');
  const weights = layers.map(([, layer]): Tensor => layer.dense().weight);
  const sums = weights.map(({ shape }) => new Float64Array(shape[0]! * shape[1]!));
  for (const { ids, labels } of used) {
    const grads = grad(meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) })), weights);
    const values = await evaluate(Object.fromEntries(grads.map((g, i) => [`${i}`, g])), { executor });
    for (const [i, sum] of sums.entries()) values[`${i}`]!.forEach((g, at) => void (sum[at]! += g * g));
  }
  return sums
    .flatMap((sum, i) => [...sum].map((score, at) => ({ name: `${layers[i]![0]} ${at}`, score })))
    .sort((a, b) => b.score - a.score);
};

describe('fishMask', () => {
  test.each([
    ['llama', tinyLlama],
    ['gpt2', tinyGpt2],
  ] as const)('trains exactly the weights with the largest Fisher information of all layers: %s', async (_, make) => {
    const executor = reference();
    const model = make();
    const expected = await byHand(model, executor, rows);
    const count = Math.floor(0.03 * expected.length);
    expect(expected[count - 1]!.score).toBeGreaterThan(expected[count]!.score * (1 + 1e-5));
    const chosen = await chosenIn(model, await prepared(model, executor, { keep: 0.03 }), executor);
    expect(chosen.toSorted()).toEqual(
      expected
        .slice(0, count)
        .map(({ name }) => name)
        .sort(),
    );
  });

  test('looks at no more examples than it is told, and at the target alone', async () => {
    const executor = reference();
    const model = tinyLlama();
    const one = await byHand(model, executor, rows.slice(0, 1));
    const method = await prepared(model, executor, { keep: 0.02, samples: 1, target: 'q_proj' });
    const ofTarget = one.filter(({ name }) => name.includes('q_proj'));
    expect((await chosenIn(model, method, executor)).toSorted()).toEqual(
      ofTarget
        .slice(0, Math.floor(0.02 * ofTarget.length))
        .map(({ name }) => name)
        .sort(),
    );
  });

  test('leaves nothing on the device, and the base as it was', async () => {
    const executor = reference();
    const model = tinyLlama();
    await evaluate({ y: model.logits(tokens([1, 2, 3])) }, { executor });
    const before = executor.memory().now;
    await prepared(model, executor, { keep: 0.1 });
    expect(executor.memory().now).toBe(before);
  });

  test('sees its part of the model within one', async () => {
    const executor = reference();
    const model = tinyLlama();
    const part = combine([{ layers: [1], method: fishMask({ keep: 0.05 }) }]);
    const [method] = await prepare(model, [part], { executor, data });
    const names = [...attach(model, [method!]).params.keys()];
    expect(names.length).toBeGreaterThan(0);
    expect(names.every((name) => name.startsWith('model.layers.1.'))).toBe(true);
  });

  test('refuses places of a file that the layer does not have', async () => {
    const executor = reference();
    const dir = await mkdtemp(join(tmpdir(), 'fish-test-'));
    onTestFinished(() => rm(dir, { recursive: true }));
    const model = tinyLlama();
    const adapted = attach(model, [await prepared(model, executor, { keep: 0.02 })]);
    await shake(adapted.params, { executor });
    await save(adapted, dir, { executor });
    const { config, tensors } = await readAdapter(dir);
    const [key, good] = [...tensors].find(([name, { shape }]) => name.endsWith('.fish_index') && shape[0]! > 1)!;
    for (const wrong of [
      [-1, 5],
      [5, 5],
      [5, 4],
      [5, 2 ** 30],
    ]) {
      const index = Int32Array.from(good.data, (at, i) =>
        i < good.data.length - 2 ? at : wrong[i - good.data.length + 2]!,
      );
      await writeAdapter(
        dir,
        config.raw,
        new Map([...tensors].map(([n, t]) => [n, { shape: t.shape, data: n === key ? index : t.data }])),
      );
      await expect(load(model, dir, [fishMask])).rejects.toMatchObject({
        code: 'state-mismatch',
        message: expect.stringContaining('fish_index must hold ascending places below'),
      });
    }
    const entries = config.raw['entries'] as Record<string, number>;
    for (const length of [-1, 1e15, 'x']) {
      await writeAdapter(
        dir,
        { ...config.raw, entries: { ...entries, [Object.keys(entries)[0]!]: length } },
        new Map([...tensors].map(([n, { shape, data: values }]) => [n, { shape, data: values }])),
      );
      await expect(load(model, dir, [fishMask])).rejects.toMatchObject({
        code: expect.stringMatching(/state-mismatch|bad-adapter/),
      });
    }
  });

  test('says what is wrong', async () => {
    const executor = reference();
    const model = tinyLlama();
    expect(() => attach(model, [fishMask()])).toThrow('fishMask: no weights are chosen yet; call prepare');
    expect(() => fishMask({ keep: 0 })).toThrow('fishMask: keep must be in (0, 1], got 0');
    expect(() => fishMask({ mask: { q_proj: [3, 1] } })).toThrow('mask must be ascending places by path');
    expect(() => attach(model, [fishMask({ mask: { 'model.nowhere': [1] } })])).toThrow(
      'no linear layer model.nowhere',
    );
    expect(() => attach(model, [fishMask({ mask: { 'model.layers.0.mlp.up_proj': [1, 999] } })])).toThrow('below 80');
    const unlabelled = examples([{ ids: [1, 2], labels: [-100, -100] }]);
    await expect(prepare(model, [fishMask()], { data: [unlabelled], executor })).rejects.toThrow(
      'none of the examples has a label',
    );
    await expect(prepare(model, [fishMask()], { data: [], executor })).rejects.toThrow('fishMask learns from examples');
  });
});

test('keepLargest takes the earlier of equal scores, over all matrices', () => {
  const largest = keepLargest(4);
  largest.add(0, [1, 3, 2, 3]);
  largest.add(1, [5, 2, 3]);
  largest.add(2, [2, 3]);
  expect([...largest.places()]).toEqual([
    [0, Int32Array.of(1, 3)],
    [1, Int32Array.of(0, 2)],
  ]);
});
