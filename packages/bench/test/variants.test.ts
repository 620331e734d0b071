import { grad } from '@peftjs/autograd';
import { compile, input, reference } from '@peftjs/tensor';
import { meanOf, parameters } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { randomBatch } from '../src/data/batch.ts';
import { randomModel } from '../src/data/random-model.ts';
import { variantLoss } from '../src/stacks/ours/variants.ts';
import { smoke } from '../src/tasks/smoke.ts';
import type { StepTask } from '../src/tasks/task.ts';

test('every variant has the loss and the gradients of the model', async () => {
  const task = smoke.find(({ name }) => name === 'smoke-variant') as StepTask;
  const model = await randomModel(task.model, task.tokens, 3);
  const { ids, labels } = randomBatch(task, 3);
  expect(labels).toContain(-100);
  const shape = [task.batch, task.tokens];
  const feeds = { ids: Int32Array.from(ids), labels: Int32Array.from(labels) };
  const executor = reference();
  const results = [];
  for (const variant of [{}, { wholeHead: true, scores: true }, { scores: true }, { recompute: true }]) {
    const inputs = { ids: input('ids', shape, 'i32'), labels: input('labels', shape, 'i32') };
    const loss = meanOf(variantLoss(model, inputs, variant));
    const weights = [...parameters(model).values()];
    const grads = Object.fromEntries(grad(loss, weights).map((g, i) => [weights[i]!.node.name, g]));
    results.push(await (await compile({ outputs: { loss, ...grads } }, { executor })).run(feeds));
  }
  const [plain, ...others] = results;
  for (const other of others)
    for (const [name, values] of Object.entries(other))
      values.forEach((v, i) => expect(Math.abs(v - plain![name]![i]!), name).toBeLessThan(1e-4));
  await executor.close();
}, 240_000);
