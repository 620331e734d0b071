import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { grad } from '@peftjs/autograd';
import { openModelWeights } from '@peftjs/io';
import { constant, type Executor, evaluate, type Tensor, transpose } from '@peftjs/tensor';
import { distance } from '@peftjs/testkit';
import { type CausalLM, generate, loadModel, meanOf, parameters, saveModel } from '@peftjs/transformer';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { modelDir, type PythonGolden, readGolden } from '../src/python-golden.ts';
import { executors } from './executors.ts';

const [rows, context] = [2, 40];
const isConv1D = (name: string): boolean => /\.c_\w+\.weight$/.test(name);

describe.each(executors)('GPT-2 of transformers, on %s', (_, open) => {
  let executor: Executor;
  let golden: PythonGolden;
  let model: CausalLM;
  beforeAll(async () => {
    executor = await open();
    golden = await readGolden('gpt2-base');
    model = await loadModel(modelDir('gpt2'));
  });
  afterAll(() => executor.close());
  const batch = (): [Tensor, Tensor] => [
    constant(golden.ids, [rows, context]),
    constant(golden.labels, [rows, context]),
  ];

  test('gives the same logits and the same loss', async () => {
    const [ids, labels] = batch();
    const { logits, loss } = await evaluate(
      { logits: model.logits(ids), loss: meanOf(model.loss({ ids, labels })) },
      { executor },
    );
    expect(distance(logits!, golden.logits)).toBeLessThan(1e-4);
    expect(distance(loss!, golden.losses)).toBeLessThan(1e-5);
  });

  test('gives the same gradient of every weight, which the library holds as [in, out] in its linear layers', async () => {
    const all = [...parameters(model)];
    const gradients = grad(
      meanOf(model.loss({ ids: batch()[0], labels: batch()[1] })),
      all.map(([, v]) => v),
    );
    const outputs = Object.fromEntries(
      all.map(([name], i) => [name, isConv1D(name) ? transpose(gradients[i]!, [1, 0]) : gradients[i]!]),
    );
    const values = await evaluate(outputs, { executor });
    expect(Object.keys(values).sort()).toEqual([...golden.gradients.keys()].sort());
    for (const [name, expected] of golden.gradients) {
      const largest = distance(expected, new Float32Array(expected.length));
      expect(distance(values[name]!, expected) / largest, name).toBeLessThan(1e-4);
    }
  });

  test('continues a prompt with the same twenty tokens', async () => {
    expect(await generate(model, { executor, prompt: golden.ids.subarray(0, 8), maxTokens: 20 })).toEqual([
      ...golden.greedy!,
    ]);
  });

  test('is saved again as the library saved it, to the bit', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'peftjs-gpt2-'));
    onTestFinished(() => rm(dir, { recursive: true }));
    await saveModel(model, dir, { executor });
    await using theirs = await openModelWeights(modelDir('gpt2'));
    await using ours = await openModelWeights(dir);
    expect([...ours.tensors.keys()].sort()).toEqual([...theirs.tensors.keys()].sort());
    for (const [name, { shape }] of theirs.tensors) {
      expect(ours.tensors.get(name)!.shape, name).toEqual(shape);
      expect(await ours.readFloat32(name), name).toEqual(await theirs.readFloat32(name));
    }
  });
});
