import { attach, merge } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { type Executor, evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { linear, packTokens, train } from '@peftjs/trainer';
import { generate, meanOf } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { executors, tolerance } from './executors.ts';

const ids = tokens([1, 5, 2, 9, 4], [3, 3, 12, 0, 7]);
const labels = tokens([5, 2, 9, 4, -100], [3, 12, 0, 7, 1]);

const forward = async (executor: Executor): Promise<{ logits: ArrayLike<number>; loss: number }> => {
  const model = tinyLlama();
  const { logits, loss } = await evaluate(
    { logits: model.logits(ids), loss: meanOf(model.loss({ ids, labels })) },
    { executor },
  );
  return { logits: logits!, loss: loss![0]! };
};

const rows = packTokens([Array.from({ length: 60 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

/** Losses of a short run with dropout, the adapter it ends with, and the merged model's logits. */
const tuned = async (
  executor: Executor,
): Promise<{ losses: number[]; values: number[]; merged: ArrayLike<number> }> => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2, alpha: 4, dropout: 0.25 })], { seed: 1 });
  await shake(adapted.params, { executor, std: 0.1 });
  const { losses } = await train(adapted, {
    executor,
    data: rows,
    steps: 3,
    batchSize: 2,
    schedule: linear({ learningRate: 0.01, steps: 3 }),
  });
  const values: number[] = [];
  for (const p of adapted.params.values()) values.push(...(await executor.read(p)));
  const merged = await evaluate({ y: (await merge(adapted, { executor })).model.logits(ids) }, { executor });
  return { losses: losses.map((l) => l.loss), values, merged: merged['y']! };
};

describe.each(executors.slice(1))('llama on %s', (_, open) => {
  test('logits and loss agree with the definition', async () => {
    const [got, wanted] = [await forward(await open()), await forward(reference())];
    expect(distance(got.logits, wanted.logits)).toBeLessThan(tolerance);
    expect(got.loss).toBeCloseTo(wanted.loss, 4);
  });

  test('generates the same tokens, greedily and by seed', async () => {
    const options = {
      prompt: [
        [1, 5, 2],
        [9, 4, 4, 7],
      ],
      maxTokens: 8,
    };
    const executor = await open();
    for (const sampling of [{}, { temperature: 0.8, topK: 8, topP: 0.95, seed: 5 }])
      expect(await generate(tinyLlama(), { executor, ...options, ...sampling })).toEqual(
        await generate(tinyLlama(), { executor: reference(), ...options, ...sampling }),
      );
  });
});

describe.each(executors.slice(1))('lora on %s', (_, open) => {
  test('three steps with dropout, and the merged model, agree with the definition', async () => {
    const [got, wanted] = [await tuned(await open()), await tuned(reference())];
    expect(distance(got.losses, wanted.losses)).toBeLessThan(tolerance);
    expect(distance(got.values, wanted.values)).toBeLessThan(1e-3);
    expect(distance(got.merged, wanted.merged)).toBeLessThan(5e-3);
  });
});
