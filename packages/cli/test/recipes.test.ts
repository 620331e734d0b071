import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { baseModelDir } from '@peftjs/base-model';
import { baseSeq2seqDir } from '@peftjs/base-seq2seq';
import { baseVitDir } from '@peftjs/base-vit';
import { load } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { type Inputs, imageClassifier, loadModel, seq2seqLM, sequenceClassifier, type Task } from '@peftjs/transformer';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { recipes } from '../src/recipes.ts';
import { runFiles } from '../src/train/run-folder.ts';
import { peftjs } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'peftjs-recipes-'));
const before = process.cwd();
afterAll(() => {
  process.chdir(before);
  rmSync(folder, { recursive: true, force: true });
});

const done = async (...args: string[]) => {
  const { code, out, err } = await peftjs(args);
  if (code !== 0) throw new Error(err);
  return out;
};

process.chdir(folder);

/** Recipes whose runs are merged: the base of each, and inputs for it. */
const mergeable: Readonly<Record<string, { readonly dir: string; readonly inputs: Inputs }>> = {
  classification: { dir: baseModelDir(), inputs: { ids: constant(Int32Array.of(1, 5, 2, 9), [1, 4]) } },
  seq2seq: {
    dir: baseSeq2seqDir(),
    inputs: {
      ids: constant(Int32Array.of(1, 5, 2, 9), [1, 4]),
      decoderIds: constant(Int32Array.of(7, 1, 5), [1, 3]),
    },
  },
  images: {
    dir: baseVitDir(),
    inputs: {
      pixels: constant(
        new Float32Array(28 * 28).map((_, i) => Math.sin(i)),
        [1, 1, 28, 28],
      ),
    },
  },
};

/** The task of a run as its folder says it. */
const taskIn = (name: string, dir: string): Task<Tensor> => {
  const { labels } = parse(readFileSync(runFiles(dir).config, 'utf8')).task;
  if (name === 'seq2seq') return seq2seqLM();
  return name === 'images' ? imageClassifier({ labels }) : sequenceClassifier({ labels });
};

/** What a recipe's adapter is said to be for, and the measures of its held-out data. */
const outcomes: Readonly<Record<string, readonly [taskType: string | null, unit: string, measure?: string]>> = {
  chat: ['CAUSAL_LM', 'token'],
  completion: ['CAUSAL_LM', 'token'],
  classification: ['SEQ_CLS', 'example', 'accuracy'],
  tagging: ['TOKEN_CLS', 'token', 'accuracy'],
  embeddings: ['FEATURE_EXTRACTION', 'example'],
  dpo: ['CAUSAL_LM', 'pair', 'margin'],
  qlora: ['CAUSAL_LM', 'token'],
  seq2seq: ['SEQ_2_SEQ_LM', 'token'],
  images: [null, 'example', 'accuracy'],
  distillation: ['CAUSAL_LM', 'token'],
};

test('there are ten recipes, and init lists them', async () => {
  expect((await recipes()).map(({ name }) => name)).toEqual(Object.keys(outcomes));
  expect(await done('init', '--list')).toMatch(/^chat +LoRA on conversations[^]*\ndistillation +/);
  expect(await peftjs(['init', 'x.yaml', '--recipe', 'chta'])).toMatchObject({
    code: 2,
    err: expect.stringContaining('did you mean chat?'),
  });
});

describe.each(Object.entries(outcomes))('%s', (name, [taskType, unit, measure]) => {
  test('is written with its examples, trains, and is measured', async () => {
    await done('init', `${name}.yaml`, '--recipe', name);
    const { data } = parse(readFileSync(`${name}.yaml`, 'utf8'));
    expect(existsSync(data.train)).toBe(true);
    const few = ['--steps', '2', '--batch-size', '2', '--data.context', '32', '--data.held-out', '0.04'];
    const args = ['train', `${name}.yaml`, ...few, '--device', 'cpu', '--out', `runs-${name}`, '--json'];
    const found = JSON.parse(await done(...args));
    expect(found).toMatchObject({ unit, steps: 2, heldOut: [expect.any(Number), expect.any(Number)] });
    expect(found.heldOut[1]).not.toBe(found.heldOut[0]);
    if (measure !== undefined) expect(Object.keys(found.measures)).toContain(measure);
    const config = JSON.parse(readFileSync(join(found.adapter, 'adapter_config.json'), 'utf8'));
    expect(config.task_type ?? null).toBe(taskType);
    if (name === 'classification')
      expect(await peftjs(['generate', found.dir, '--prompt', 'a'])).toMatchObject({
        code: 2,
        err: expect.stringContaining('is an adapter of the task SEQ_CLS'),
      });
    const own = mergeable[name];
    if (own) {
      await done('merge', found.dir, `merged-${name}`, '--device', 'cpu');
      expect(
        existsSync(join(`merged-${name}`, name === 'images' ? 'preprocessor_config.json' : 'tokenizer.json')),
      ).toBe(true);
      const task = taskIn(name, found.dir);
      const [base, merged] = [
        await loadModel(own.dir, { task, newHead: name !== 'seq2seq' }),
        await loadModel(`merged-${name}`, { task }),
      ];
      const { model } = await load(base, found.adapter, [lora]);
      const both = await evaluate(
        { a: model.outputs(own.inputs), b: merged.outputs(own.inputs) },
        { executor: reference() },
      );
      expect(Math.max(...both['a']!.map((v, i) => Math.abs(v - both['b']![i]!)))).toBeLessThan(1e-4);
    }
    if (name === 'seq2seq') {
      expect(readFileSync(found.report, 'utf8')).toContain('Answers as training went on');
      const answered = await done('generate', found.dir, '--prompt', 'call me ishmael', '--max-tokens', '4', '--json');
      expect(JSON.parse(answered)).toEqual({ text: expect.any(String), promptTokens: expect.any(Number) });
      expect(await peftjs(['generate', found.dir, '--message', 'a'])).toMatchObject({
        code: 2,
        err: expect.stringContaining('answers a text: give --prompt'),
      });
    }
    if (name === 'classification') {
      await done('export', found.dir, 'exported', '--to', 'onnx', '--device', 'cpu');
      expect(JSON.parse(readFileSync('exported/config.json', 'utf8')).id2label).toMatchObject({ 0: 'Austen' });
      expect(existsSync('exported/onnx/model.onnx')).toBe(true);
      expect(await peftjs(['export', found.dir, 'x.gguf', '--to', 'gguf'])).toMatchObject({
        code: 2,
        err: expect.stringContaining('is a run of the task sequenceClassifier'),
      });
    }
    if (!['classification', 'dpo', 'images'].includes(name)) return;
    const measured = JSON.parse(
      await done('evaluate', found.dir, '--data', data.train, '--device', 'cpu', '--context', '32', '--json'),
    );
    expect(measured).toMatchObject({ loss: expect.any(Number), baseLoss: expect.any(Number) });
    expect(measured.metrics[measure!]).toEqual(expect.any(Number));
  });
});
