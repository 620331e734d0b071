import { grad } from '@peftjs/autograd';
import { type Adapted, load } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { constant, type Executor, evaluate } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { adamw, makeTrainStep } from '@peftjs/trainer';
import { generate, loadModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { executors } from './executors.ts';
import { modelDir, type PythonGolden, readGolden } from './python-golden.ts';

const cases = [
  ['plain-default', 'plain'],
  ['plain-patterns', 'plain'],
  ['llama3-tied-regex', 'llama3-tied'],
] as const;
const [rows, context] = [2, 40];

/** By the names in the adapter's file. */
const stateOf = async ({ params }: Adapted, executor: Executor): Promise<Map<string, ArrayLike<number>>> => {
  const values = new Map<string, ArrayLike<number>>();
  for (const [name, v] of params) values.set(`base_model.model.${name}`, await executor.read(v));
  return values;
};

describe.each(executors)('an adapter made by Hugging Face PEFT, on %s', (_, open) => {
  let executor: Executor;
  beforeAll(async () => void (executor = await open()));
  afterAll(() => executor.close());

  describe.each(cases)('%s', (name, model) => {
    let golden: PythonGolden;
    let adapted: Adapted;
    beforeAll(async () => {
      golden = await readGolden(name);
      adapted = await load(await loadModel(modelDir(model)), golden.adapterDir, [lora]);
    });
    const batch = () => [golden.ids, golden.labels].map((ids) => constant(ids, [rows, context])) as [never, never];

    test('gives the same logits and the same loss', async () => {
      const [ids, labels] = batch();
      const { logits, loss } = await evaluate(
        { logits: adapted.model.logits(ids), loss: adapted.model.loss(ids, labels) },
        executor,
      );
      expect(distance(logits!, golden.logits)).toBeLessThan(1e-4);
      expect(distance(loss!, [golden.losses[0]!])).toBeLessThan(1e-5);
    });

    test('gives the same gradient of every parameter', async () => {
      const names = [...adapted.params.keys()];
      const tensors = grad(adapted.model.loss(...batch()), [...adapted.params.values()]);
      const values = await evaluate(
        Object.fromEntries(names.map((n, i) => [`base_model.model.${n}`, tensors[i]!])),
        executor,
      );
      expect(Object.keys(values).sort()).toEqual([...golden.gradients.keys()].sort());
      for (const [n, expected] of golden.gradients) {
        const largest = distance(expected, new Float32Array(expected.length));
        expect(distance(values[n]!, expected) / largest, n).toBeLessThan(1e-4);
      }
    });

    test('continues a prompt with the same twenty tokens', async () => {
      expect(await generate(adapted.model, { executor, prompt: golden.ids.subarray(0, 8), maxTokens: 20 })).toEqual([
        ...golden.greedy,
      ]);
    });

    test('is the same after three steps of AdamW', async () => {
      const optimizer = adamw({ weightDecay: 0.1, clipNorm: Number.POSITIVE_INFINITY });
      const step = await makeTrainStep(adapted, {
        executor,
        optimizer,
        batchSize: rows,
        context,
        accumulate: 1,
        seed: 0,
      });
      const tokens = golden.labels.filter((label) => label !== -100).length;
      const losses: number[] = [];
      for (let i = 0; i < 3; i++)
        losses.push((await step.run(i, 1e-2, [{ ids: golden.ids, labels: golden.labels, tokens }])).loss);
      step.close();
      expect(distance(losses, golden.losses)).toBeLessThan(1e-4);
      const state = await stateOf(adapted, executor);
      expect([...state.keys()].sort()).toEqual([...golden.trained.keys()].sort());
      for (const [n, expected] of golden.trained) expect(distance(state.get(n)!, expected), n).toBeLessThan(5e-5);
    });
  });
});
