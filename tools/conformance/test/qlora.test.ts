import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { grad } from '@peftjs/autograd';
import { baseModelDir } from '@peftjs/base-model';
import { attach, merge } from '@peftjs/core';
import { loadTokenizer } from '@peftjs/io';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { int8, nf4, type QuantFormat, quantize, storedBytes } from '@peftjs/quant';
import { compile, type Executor, evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { cosine, packTokens, train } from '@peftjs/trainer';
import { type CausalLM, loadModel, meanOf, saveModel } from '@peftjs/transformer';
import { describe, expect, onTestFinished, test } from 'vitest';
import { executors, tolerance } from './executors.ts';

const root = join(import.meta.dirname, '../../..');
const formats: Readonly<Record<string, QuantFormat>> = { int8: int8(), nf4: nf4() };

const small = (): CausalLM =>
  tinyLlama({ layers: 4, hiddenSize: 128, intermediateSize: 384, heads: 4, keyValueHeads: 4, headDim: 32 });

/** The planned peak of a step's forward and backward passes. */
const peakOf = async (base: CausalLM, executor: Executor): Promise<number> => {
  const { model, params } = attach(base, [lora({ rank: 2, target: 'all-linear' })]);
  const list = [...params.values()];
  const loss = meanOf(model.loss({ ids: tokens([1, 5, 2, 9]), labels: tokens([5, 2, 9, 4]) }));
  const gradients = grad(loss, list);
  const outputs = { loss, ...Object.fromEntries(gradients.map((g, i) => [`gradient ${i}`, g])) };
  const executable = await compile({ outputs }, { executor });
  executable.close();
  return executable.plan.peakBytes;
};

describe.each(executors.slice(1))('a step of LoRA on %s', (name, open) => {
  test.each(Object.keys(formats))('has no f32 copy of a base in %s', async (format) => {
    const [dense, packed] = [small(), quantize(small(), formats[format]!)];
    const saved = storedBytes(dense) - storedBytes(packed);
    const [whole, lean] = [await peakOf(dense, await open()), await peakOf(packed, await open())];
    // On the CPU one matrix at a time is unpacked, by way of its codes as integers, into memory that is kept for others of its shape.
    const unpacked = name === 'cpu' ? 3 * 4 * (128 * 128 + 2 * 128 * 384) : 0;
    expect(whole - lean).toBeGreaterThan(0.98 * saved - unpacked);
    expect(whole - lean).toBeLessThan(1.02 * saved);
  });
});

describe.each(executors)('a merge into a quantised base on %s', (_, open) => {
  test.each(Object.keys(formats))('in %s tells what encoding cost, and keeps the sum when dense', async (format) => {
    const executor = await open();
    const ids = tokens([1, 5, 2, 9, 4]);
    const adapted = attach(quantize(tinyLlama(), formats[format]!), [lora({ rank: 2 })]);
    await shake(adapted.params, { executor, std: 0.3 });
    const [stored, exact] = [await merge(adapted, { executor }), await merge(adapted, { executor, format: 'dense' })];
    const values = await evaluate(
      { adapted: adapted.model.logits(ids), exact: exact.model.logits(ids), stored: stored.model.logits(ids) },
      { executor },
    );
    expect(exact.errors.size).toBe(0);
    expect(distance(values['exact']!, values['adapted']!)).toBeLessThan(20 * tolerance);
    expect(stored.errors.size).toBe(4);
    const [least, most] = format === 'int8' ? [1e-4, 0.01] : [0.02, 0.15];
    for (const error of stored.errors.values()) {
      expect(error).toBeGreaterThan(least);
      expect(error).toBeLessThan(most);
    }
    expect(storedBytes(stored.model, ['q_proj', 'v_proj'])).toBe(storedBytes(adapted.base, ['q_proj', 'v_proj']));
  });
});

test('QLoRA on the base model learns what LoRA does, from a third of the bytes', { timeout: 120_000 }, async () => {
  const dir = baseModelDir();
  const [tokenizer, model, executor] = [await loadTokenizer(dir), await loadModel(dir), await cpu()];
  onTestFinished(() => executor.close());
  const text = await readFile(join(root, 'tools/golden/data/held-out.txt'), 'utf8');
  const data = packTokens([tokenizer.encode(text)], { context: 64, endOfText: tokenizer.eosId ?? 0 });
  const run = async (base: CausalLM): Promise<readonly number[]> => {
    const adapted = attach(base, [lora({ rank: 8, target: 'all-linear' })]);
    const { losses } = await train(adapted, {
      executor,
      data,
      steps: 25,
      batchSize: 4,
      schedule: cosine({ learningRate: 6e-3, steps: 25 }),
    });
    return losses.map(({ loss }) => loss);
  };
  const base = quantize(model, nf4());
  const halves = [...model.linears].reduce((n, [path, l]) => n + (path === 'lm_head' ? 0 : 2 * l.inDim * l.outDim), 0);
  expect(storedBytes(base) / halves).toBeLessThan(0.27);
  const [dense, packed] = [await run(model), await run(base)];
  const end = (losses: readonly number[]): number => losses.slice(-5).reduce((a, b) => a + b, 0) / 5;
  expect(end(packed)).toBeLessThan(packed[0]! - 0.3);
  expect(Math.abs(end(packed) - end(dense))).toBeLessThan(0.05);
});

test('the example of the README of quant runs', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'peftjs-readme-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await saveModel(tinyLlama(), dir, { executor: reference() });
  const example = /```ts\n([^]*?)```/.exec(await readFile(join(root, 'packages/quant/README.md'), 'utf8'))![1]!;
  const code = example.replace("'model'", JSON.stringify(dir));
  const args = ['--conditions=@peftjs/source', '--import', 'tsx', '--input-type=module', '-e', code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: join(import.meta.dirname, '..') });
  const [bytes, told] = stdout.split(/\n(?=\d)/) as [string, string];
  expect(bytes).toMatch(/^\d+ bytes instead of \d+$/);
  // Five small steps lie within the rounding of NF4: more is lost than was changed, and the layers say so.
  expect(Number.parseFloat(told)).toBeGreaterThan(1);
  expect(told.match(/'model\.layers\.\d\.\w+\.\w+'/g)?.length).toBeGreaterThan(1);
});
