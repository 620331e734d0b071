import { grad } from '@peftjs/autograd';
import { type Adapted, attach, distillation, type Method, type Objective, rDrop } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { buildProgram, compile, constant, evaluate, input, mul, reference, sub, type Tensor } from '@peftjs/tensor';
import { packTokens, sgd, train } from '@peftjs/trainer';
import { generate, type Inputs, meanOf } from '@peftjs/transformer';
import { distance, shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { describe, expect, test } from 'vitest';
import { activated } from './examples/activated.ts';
import { dpo } from './examples/dpo.ts';
import { loraPlus } from './examples/lora-plus.ts';
import { mixture } from './examples/mixture.ts';
import { restarts } from './examples/restarts.ts';
import { taskwise } from './examples/taskwise.ts';
import { twoLooks } from './examples/two-looks.ts';

const executor = reference();
const base = tinyLlama();
const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const labels = tokens([5, 2, 9, 4], [3, 12, 0, 7]);
const seedOf = (seed: number): Tensor => constant(Uint32Array.of(seed), []);
const valuesOf = async (t: Tensor): Promise<Float32Array> => (await evaluate({ t }, { executor }))['t'] as Float32Array;
const lossOf = async (adapted: Adapted, inputs: Inputs, seed: number, objective?: Objective): Promise<number> =>
  (await valuesOf(meanOf(adapted.loss(inputs, seedOf(seed), { objective: objective as never }))))[0]!;

/** Steps of plain descent; the losses before each. */
const descend = async (adapted: Adapted, inputs: Inputs, rate: number, objective?: Objective): Promise<number[]> => {
  const loss = meanOf(adapted.loss(inputs, input('seed', [], 'u32'), { objective: objective as never }));
  const params = [...adapted.params.values()];
  const updates = grad(loss, params).map((g, i) => [params[i]!, sub(params[i]!, mul(g, rate))] as const);
  const spec = { outputs: { loss }, updates };
  const seeded = buildProgram(spec).inputs.length > 0;
  const step = await compile(spec, { executor });
  const losses: number[] = [];
  for (let i = 0; i < 8; i++) losses.push((await step.run(seeded ? { seed: Uint32Array.of(i) } : {}))['loss']![0]!);
  step.close();
  return losses;
};

const adapt = async (method: Method): Promise<Adapted> => {
  const adapted = attach(base, [method]);
  await shake(adapted.params, { executor });
  return adapted;
};

const rows = packTokens([[1, 5, 2, 9, 4, 11, 3, 7, 8, 6]], { context: 4, endOfText: 0 });
const run = { executor, data: rows, batchSize: 1, optimizer: sgd() };

describe('objectives', () => {
  test('R-Drop: two passes of one loss, apart only by chance', async () => {
    const still = await adapt(lora({ rank: 2 }));
    const single = await lossOf(still, { ids, labels }, 1);
    expect(await lossOf(still, { ids, labels }, 1, rDrop({ weight: 5 }))).toBeCloseTo(2 * single, 5);
    const noisy = await adapt(lora({ rank: 2, dropout: 0.5 }));
    const [none, some] = [rDrop({ weight: 0 }), rDrop({ weight: 5 })];
    expect(await lossOf(noisy, { ids, labels }, 1, some)).toBeGreaterThan(
      (await lossOf(noisy, { ids, labels }, 1, none)) + 1e-4,
    );
  });

  test('distillation: without a share of the teacher the loss, with all of it the divergence from the base', async () => {
    const adapted = await adapt(lora({ rank: 2 }));
    const plain = await lossOf(adapted, { ids, labels }, 1);
    expect(await lossOf(adapted, { ids, labels }, 1, distillation({ weight: 0 }))).toBeCloseTo(plain, 5);
    const apart = distillation({ weight: 1, temperature: 1 });
    expect(await lossOf(attach(base, [lora()]), { ids, labels }, 1, apart)).toBeCloseTo(0, 6);
    const losses = await descend(adapted, { ids, labels }, 0.05, apart);
    expect(losses.at(-1)!).toBeLessThan(losses[0]! * 0.8);
  });

  test('DPO: the base is the reference', async () => {
    const pairs = { chosen: ids, chosenLabels: labels, rejected: labels, rejectedLabels: ids };
    const adapted = attach(base, [lora({ rank: 4 })]);
    const losses = await descend(adapted, pairs, 0.5, dpo(0.5));
    expect(losses[0]).toBeCloseTo(Math.log(2), 5);
    expect(losses.at(-1)!).toBeLessThan(0.6);
  });
});

test('routes: every training pass takes one, evaluation their mean', async () => {
  const adapted = await adapt(mixture(3));
  const one = await valuesOf(adapted.training(seedOf(1)).logits(ids));
  expect(distance(await valuesOf(adapted.training(seedOf(1)).logits(ids)), one)).toBe(0);
  expect(distance(await valuesOf(adapted.training(seedOf(5)).logits(ids)), one)).toBeGreaterThan(1e-3);
  expect(distance(await valuesOf(adapted.model.logits(ids)), one)).toBeGreaterThan(1e-3);
  const loss = meanOf(adapted.model.loss({ ids, labels }));
  const [before] = await valuesOf(loss);
  await descend(adapted, { ids, labels }, 0.02);
  expect((await valuesOf(loss))[0]).toBeLessThan(before!);
});

test('hints: B moves by its own rate', async () => {
  const moved = async (rate: number): Promise<Float32Array> => {
    const { params, ...rest } = attach(base, [loraPlus(rate)]);
    await train({ params, ...rest }, { ...run, steps: 1, schedule: () => 0.01 });
    return (await executor.read(params.get('model.layers.0.self_attn.q_proj.b')!)) as Float32Array;
  };
  const [once, sixteen] = [await moved(1), await moved(16)];
  expect(
    distance(
      sixteen,
      once.map((v) => 16 * v),
    ),
  ).toBeLessThan(1e-6);
  expect(Math.max(...once.map(Math.abs))).toBeGreaterThan(1e-6);
});

test('restarts: BA goes into the sum, and the function stays', async () => {
  const adapted = attach(base, [restarts(3)]);
  const { losses } = await train(adapted, { ...run, steps: 6, schedule: () => 0.2 });
  for (const [name, v] of adapted.state) {
    const largest = Math.max(...(await executor.read(v)).map(Math.abs));
    if (name.endsWith('.stored')) expect(largest).toBeGreaterThan(1e-5);
    if (name.endsWith('.b')) expect(largest).toBe(0); // the last step was one of them
  }
  expect(losses.at(-1)!.loss).toBeLessThan(losses[0]!.loss);
});

test('two looks: the second is weighed by the states of the first', async () => {
  const adapted = await adapt(twoLooks(2));
  const [router, ...others] = [...adapted.params.values()];
  const weighed = await valuesOf(adapted.model.logits(ids));
  const gradients = grad(meanOf(adapted.loss({ ids, labels }, seedOf(1))), [router!, ...others]);
  for (const g of gradients) expect(Math.max(...(await valuesOf(g)).map(Math.abs))).toBeGreaterThan(1e-7);
  await executor.write(router!, new Float32Array(2 * 8));
  expect(distance(await valuesOf(adapted.model.logits(ids)), weighed)).toBeGreaterThan(1e-4);
});

test('an invocation: before it the base to the bit, after it the adapter, also out of a cache', async () => {
  const adapted = await adapt(activated(2));
  const [on, off] = [await valuesOf(adapted.model.logits(ids)), await valuesOf(base.logits(ids))];
  const width = 13;
  expect(distance(on.slice(0, 2 * width), off.slice(0, 2 * width))).toBe(0);
  expect(distance(on.slice(2 * width, 4 * width), off.slice(2 * width, 4 * width))).toBeGreaterThan(1e-3);
  expect(distance(on.slice(4 * width), off.slice(4 * width))).toBe(0); // never invoked
  const prompt = [
    [1, 5, 2],
    [3, 7],
  ];
  const got = await generate(adapted.model, { executor, prompt, maxTokens: 5 });
  for (const [i, row] of prompt.entries()) {
    const wanted = [...row];
    for (let n = 0; n < 5; n++) {
      const last = Array.from(await valuesOf(adapted.model.logits(tokens(wanted), { lastOnly: true })));
      wanted.push(last.indexOf(Math.max(...last)));
    }
    expect(got[i]).toEqual(wanted.slice(row.length));
  }
});

test('tasks: a row gives what it gives among rows of its own task', async () => {
  const adapted = await adapt(taskwise(3));
  expect(adapted.columns).toEqual({ task: { shape: [], dtype: 'i32' } });
  const of = (...tasks: number[]): Promise<Float32Array> =>
    valuesOf(adapted.model.outputs({ ids, task: constant(Int32Array.from(tasks), [2]) }));
  const [mixed, first, second] = [await of(2, 0), await of(2, 2), await of(0, 0)];
  const half = mixed.length / 2;
  expect(distance(mixed.slice(0, half), first.slice(0, half))).toBeLessThan(1e-6);
  expect(distance(mixed.slice(half), second.slice(half))).toBeLessThan(1e-6);
  expect(distance(first.slice(half), second.slice(half))).toBeGreaterThan(1e-3);
});
