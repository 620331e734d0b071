import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach, load, save } from '@peftjs/core';
import { reference, type Variable } from '@peftjs/tensor';
import { shake, tinyGpt2, tinyLlama } from '@peftjs/transformer/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { beft, bitfit, layerNormTuning } from '../src/index.ts';

const firstLayer = (params: ReadonlyMap<string, Variable>): string[] =>
  [...params].filter(([name]) => !name.includes('.1.')).map(([name, p]) => `${name} [${p.shape}]`);

describe('bitfit', () => {
  test('trains every bias of GPT-2, from its value', async () => {
    const executor = reference();
    const base = tinyGpt2();
    const theirs = new Map<string, Float32Array>();
    for (const [path, { bias }] of base.norms) {
      theirs.set(
        path,
        Float32Array.from({ length: 8 }, (_, i) => i + path.length),
      );
      await executor.write(bias as Variable, theirs.get(path)!);
    }
    const { params } = attach(base, [bitfit()]);
    expect(firstLayer(params)).toEqual([
      'transformer.h.0.attn.c_attn.bias [24]',
      'transformer.h.0.attn.c_proj.bias [8]',
      'transformer.h.0.mlp.c_fc.bias [10]',
      'transformer.h.0.mlp.c_proj.bias [8]',
      'transformer.h.0.ln_1.bias [8]',
      'transformer.h.0.ln_2.bias [8]',
      'transformer.ln_f.bias [8]',
    ]);
    for (const [path, values] of theirs) expect(await executor.read(params.get(`${path}.bias`)!)).toEqual(values);
  });

  test('gives a model without biases some, its norms only when asked', () => {
    expect(firstLayer(attach(tinyLlama(), [bitfit()]).params)).toHaveLength(7);
    const { params } = attach(tinyLlama(), [bitfit({ target: 'q_proj', norms: 'norm' })]);
    expect(firstLayer(params)).toEqual(['model.layers.0.self_attn.q_proj.bias [24]', 'model.norm.bias [8]']);
    expect(() => attach(tinyLlama(), [bitfit({ norms: 'ln_f' })])).toThrow(
      "target 'ln_f' matches no layer; there are model.layers.*.input_layernorm",
    );
  });
});

test('beft trains the value projections; a fused layer must be named', () => {
  expect(firstLayer(attach(tinyLlama(), [beft()]).params)).toEqual([
    'model.layers.0.self_attn.v_proj.beft_bias [1,12]',
  ]);
  expect(() => attach(tinyGpt2(), [beft()])).toThrow('there is no default for gpt2; say which layers');
});

test('layerNormTuning saves names that stand for all layers, and loads a part of them', async () => {
  const executor = reference();
  const dir = await mkdtemp(join(tmpdir(), 'selective-test-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const base = tinyGpt2();
  const read = async (): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(join(dir, 'adapter_config.json'), 'utf8'));
  await save(attach(base, [layerNormTuning()]), dir, { executor });
  expect(await read()).toMatchObject({ peft_type: 'LN_TUNING', target_modules: ['ln_1', 'ln_2', 'ln_f'] });
  const one = attach(base, [layerNormTuning({ target: /.*ln_2/ })]);
  await shake(one.params, { executor });
  await save(one, dir, { executor });
  expect(await read()).toMatchObject({ target_modules: ['transformer.h.0.ln_2', 'transformer.h.1.ln_2'] });
  const again = await load(base, dir, [layerNormTuning]);
  for (const [name, p] of one.params)
    expect(await executor.read(again.params.get(name)!)).toEqual(await executor.read(p));
  expect(() => attach(base, [layerNormTuning({ target: 'q_proj' })])).toThrow(
    "layerNormTuning: target 'q_proj' matches no layer; there are transformer.h.*.ln_1",
  );
});
