import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { attach, distillation, load, mixBatch, save, type Views } from '@peftjs/core';

import {
  add,
  constant,
  type Executor,
  evaluate,
  normalValues,
  randomSource,
  reference,
  sizeOf,
  type Tensor,
} from '@peftjs/tensor';
import { distance, tinyGpt2, tinyLlama, tokens } from '@peftjs/testkit';
import { meanOf, type TaskModel, viaDense } from '@peftjs/transformer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bitDelta } from '../src/index.ts';

let executor: Executor;
beforeAll(() => {
  executor = reference();
});
afterAll(() => executor.close());

/** The model after a tuning: every weight and bias moved by what `change` says of its name. */
const tunedOf = (model: TaskModel, change: (name: string, like: Tensor) => Tensor): TaskModel => {
  const moved = (name: string, x: Tensor): Tensor => add(x, change(name, x));
  const table = model.main.tokenTable!;
  const embeddings = new Map(
    [...model.embeddings].map(([path, e]) => [path, e.encode(moved(`${path}.weight`, e.weight))]),
  );
  return model.with({
    embeddings,
    linears: new Map(
      [...model.linears].map(([path, layer]) => {
        const { weight, bias } = layer.dense();
        const isTied = weight.node === model.embeddings.get(table)!.weight.node;
        const now = {
          weight: isTied ? embeddings.get(table)!.weight : moved(`${path}.weight`, weight),
          bias: bias && moved(`${path}.bias`, bias),
        };
        return [path, viaDense(layer, () => now)];
      }),
    ),
    norms: new Map(
      [...model.norms].map(([path, norm]) => [
        path,
        norm.encode({
          weight: moved(`${path}.weight`, norm.weight),
          bias: norm.bias && moved(`${path}.bias`, norm.bias),
        }),
      ]),
    ),
  });
};

const noise = (seed: number) => (name: string, like: Tensor) =>
  constant(normalValues(sizeOf(like.shape), 0.05, randomSource(seed, name)), like.shape);

/** Changes of one magnitude. */
const signs = (name: string, like: Tensor): Tensor => {
  const random = randomSource(3, name);
  return constant(
    Float32Array.from({ length: sizeOf(like.shape) }, () => (random() < 0.5 ? -0.03 : 0.03)),
    like.shape,
  );
};

const outputs = async (model: TaskModel, ids: Tensor): Promise<ArrayLike<number>> =>
  (await evaluate({ y: model.outputs({ ids }) }, { executor }))['y']!;

const ids = tokens([1, 5, 2, 7, 3]);

test.each([
  ['a tied head and biases', tinyGpt2()],
  ['a head of its own', tinyLlama()],
])('is the tuned model where changes are of one size: %s', async (_, base) => {
  const tuned = tunedOf(base, signs);
  const adapted = attach(base, [bitDelta({ tuned })]);
  const wanted = await outputs(tuned, ids);
  expect(distance(await outputs(adapted.model, ids), wanted)).toBeLessThan(1e-5);
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-bit-delta-'));
  try {
    await save(adapted, dir, { executor });
    expect(distance(await outputs((await load(base, dir, [bitDelta])).model, ids), wanted)).toBeLessThan(1e-5);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('scales alone are trained, and have a gradient by the distance from the tuned model', async () => {
  const base = tinyLlama();
  const tuned = tunedOf(base, noise(1));
  const adapted = attach(base, [bitDelta({ tuned })]);
  const params = [...adapted.params.values()];
  expect(params.map(({ shape }) => sizeOf(shape))).toEqual(params.map(() => 1));
  const objective = distillation({ teacher: (inputs) => tuned.outputs(inputs), measure: 'mse', weight: 1 });
  const views: Views = {
    train: () => adapted.model,
    evaluate: adapted.model,
    base,
    draw: null,
    passes: [],
  };
  const loss = meanOf(objective(views, { ids, labels: ids }));
  const apart = async (): Promise<number> => (await evaluate({ loss }, { executor }))['loss']![0]!;
  const before = await apart();
  const slopes = await evaluate(Object.fromEntries(grad(loss, params).map((g, i) => [i, g])), { executor });
  for (const [i, param] of params.entries()) {
    const now = (await executor.read(param)) as Float32Array;
    await executor.write(param, Float32Array.of(now[0]! - 0.002 * slopes[i]![0]!));
  }
  expect(await apart()).toBeLessThan(before);
});

test('rows of one batch have tuned models of their own over one base', async () => {
  const base = tinyLlama();
  const all = [1, 2].map((seed) => attach(base, [bitDelta({ tuned: tunedOf(base, noise(seed)) })]));
  const mixed = mixBatch(all, 2);
  await mixed.assign([1, 0], { executor });
  const row = (values: ArrayLike<number>, i: number): number[] =>
    Array.from(values).slice((i * values.length) / 2, ((i + 1) * values.length) / 2);
  const two = constant(Int32Array.of(1, 5, 2, 1, 5, 2), [2, 3]);
  const found = await outputs(mixed.model, two);
  for (const [i, adapter] of [1, 0].entries())
    expect(distance(row(found, i), await outputs(all[adapter]!.model, tokens([1, 5, 2])))).toBeLessThan(1e-5);
});

test('a model of other sizes is refused by the layer that differs', async () => {
  const adapted = attach(tinyLlama(), [bitDelta({ tuned: tinyLlama({ layers: 1 }) })]);
  await expect(outputs(adapted.model, ids)).rejects.toThrow(/bitDelta: model\.layers\.1.* is not there in `tuned`/);
});
