import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { evaluate, reference } from '@peftjs/tensor';
import type { CausalLM } from '@peftjs/transformer';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, onTestFinished, test } from 'vitest';
import { attach, combine, load, save, within } from '../src/index.ts';
import { scale, shift } from './toys.ts';

const ids = tokens([1, 5, 2, 9]);
const logits = async (model: CausalLM, r = reference()): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor: r }))['y'] as Float32Array;

const scratch = async (): Promise<string> => {
  const dir = await mkdtemp(join(tmpdir(), 'core-combine-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  return dir;
};

const mixture = () =>
  combine([
    within({ layers: [0] }, scale()),
    within({ target: ['model.layers.1', 'o_proj'] }, combine([scale({ target: 'o_proj' }), shift()])),
  ]);

test('other layers and other targets get other methods', () => {
  const { params } = attach(tinyLlama(), [mixture()]);
  expect([...params.keys()].sort()).toEqual([
    'methods.0.model.layers.0.self_attn.q_proj.s',
    'methods.1.methods.0.model.layers.0.self_attn.o_proj.s',
    'methods.1.methods.0.model.layers.1.self_attn.o_proj.s',
    'methods.1.methods.1.w',
  ]);
});

test('a combination acts as its methods attached one after the other', async () => {
  const r = reference();
  const base = tinyLlama();
  const whole = attach(base, [mixture()]);
  await shake(whole.state, { executor: r });
  let model = base;
  for (const [prefix, method] of [
    ['methods.0.', within({ layers: [0] }, scale())],
    ['methods.1.methods.0.', scale({ target: 'o_proj' })],
    ['methods.1.methods.1.', within({ layers: [1] }, shift())],
  ] as const) {
    const one = attach(model, [method]);
    for (const [name, v] of one.state) await r.write(v, await r.read(whole.state.get(prefix + name)!));
    model = one.model;
  }
  expect(distance(await logits(model, r), await logits(whole.model, r))).toBeLessThan(1e-6);
  expect(distance(await logits(model, r), await logits(base, r))).toBeGreaterThan(0.01);
});

test('nested combinations are saved and load to the bit', async () => {
  const r = reference();
  const base = tinyLlama();
  const dir = await scratch();
  const adapted = attach(base, [mixture()]);
  await shake(adapted.state, { executor: r });
  await save(adapted, dir, { executor: r });
  const again = await load(base, dir, [scale, shift]);
  expect([...again.state.keys()]).toEqual([...adapted.state.keys()]);
  expect(distance(await logits(again.model, r), await logits(adapted.model, r))).toBe(0);
  await expect(load(base, dir, [scale])).rejects.toThrow(/of type SHIFT.*load was given: scale \(SCALE\)/);
});

test('says which part there is not', () => {
  expect(() => attach(tinyGpt2(), [within({ layers: [1, 7] }, shift())])).toThrow(
    'within: there is no layer 7; the model has 0 to 1',
  );
  expect(() => attach(tinyLlama(), [within({ target: 'c_attn' }, shift())])).toThrow(
    "within: target 'c_attn' matches no layer",
  );
  expect(() => attach(tinyLlama(), [within({ target: 'q_proj' }, shift())])).toThrow(
    'this part of the model has no site block',
  );
  expect(() => combine.fromConfig({ peft_type: 'PEFTJS_LIST', methods: [] }, () => shift())).toThrow(
    'must list its methods',
  );
  expect(() => within.fromConfig({ peft_type: 'PEFTJS_WITHIN', layers: ['0'] }, () => shift())).toThrow(
    'layers of adapter_config.json must be a list, got ["0"]',
  );
});
