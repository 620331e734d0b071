import { attach, makeTransformRun, prepare } from '@peftjs/core';
import { compile, constant, evaluate, reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { shake, tinyLlama } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { childTuningF, ltSft, paFi } from '../src/index.ts';

const path = 'model.layers.0.mlp.up_proj';

test('differences of a language and of a task add up', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const [language, task] = [ltSft({ mask: { [path]: [1, 4, 9] } }), ltSft({ mask: { [path]: [4, 30] } })];
  const { model, params } = attach(base, [language, task]);
  await shake(params, { executor });
  const weightIn = async (of: typeof base): Promise<ArrayLike<number>> =>
    (await evaluate({ w: of.linears.get(path)!.dense().weight }, { executor }))['w']!;
  const [before, after] = [await weightIn(base), await weightIn(model)];
  const [ofLanguage, ofTask] = await Promise.all([...params.values()].map((v) => executor.read(v)));
  const expected = Float64Array.from(before);
  for (const [i, place] of [1, 4, 9].entries()) expected[place]! += ofLanguage![i]!;
  for (const [i, place] of [4, 30].entries()) expected[place]! += ofTask![i]!;
  for (const [i, value] of expected.entries()) expect(after[i]).toBeCloseTo(value, 6);
  expect(Array.from(after).filter((value, i) => value !== before[i])).toHaveLength(4);
});

test('paFi looks at no data, and keeps a mask that it is given', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const [chosen] = await prepare(base, [paFi({ keep: 0.01 })], { executor, data: [] });
  expect(attach(base, [chosen!]).params.size).toBeGreaterThan(0);
  const [kept] = await prepare(base, [paFi({ mask: { [path]: [7] } })], { executor, data: [] });
  expect([...attach(base, [kept!]).params.keys()]).toEqual([`${path}.sparse_values`]);
});

test('ltSft says that its tuning diverges', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const ids = {
    rows: 1,
    columns: { ids: Int32Array.of(1, 2), labels: Int32Array.of(2, 3) },
    shapes: { ids: [1, 2], labels: [1, 2] },
  };
  const look = { executor, data: [ids] };
  const message = await messageOf('diverged', () => prepare(base, [ltSft({ steps: 3, learningRate: 1e38 })], look));
  expect(message).toContain('ltSft: the loss is');
});

test('childTuningF keeps a share of the gradient, drawn anew in each step, and scales it', async () => {
  const [executor, base] = [reference(), tinyLlama()];
  const { transform, params } = attach(base, [childTuningF({ target: 'up_proj', keep: 0.25 })]);
  const run = makeTransformRun(undefined);
  const values = new Map([...params.values()].map((p) => [p, constant(new Float32Array(80).fill(3), p.shape)]));
  const { values: kept } = transform!.update({ values }, run.step(constant(Float32Array.of(1), [])));
  const outputs = Object.fromEntries([...kept].map(([p, t]) => [p.node.name, t]));
  const program = await compile({ outputs }, { executor });
  const steps = [await program.run(run.feeds(0, 0.1)), await program.run(run.feeds(1, 0.1))];
  const all = steps.flatMap((step) => Object.values(step).map((gradient) => Array.from(gradient as Float32Array)));
  expect(all).toHaveLength(4);
  for (const gradient of all) {
    expect(new Set(gradient)).toEqual(new Set([0, 12]));
    const share = gradient.filter((g) => g !== 0).length / 80;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.45);
  }
  expect(new Set(all.map(String)).size).toBe(4);
});
