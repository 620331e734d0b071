import { memoryFiles, readAdapter } from '@peftjs/io';
import { evaluate, reference } from '@peftjs/tensor';
import type { CausalLM, Model } from '@peftjs/transformer';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { type Adapted, attach, type CombinedPart, combine, load, type Method, save } from '../src/index.ts';
import { scale, shift } from './toys.ts';

const ids = tokens([1, 5, 2, 9]);
const logits = async (model: CausalLM, r = reference()): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor: r }))['y'] as Float32Array;

const mixture = () =>
  combine([
    { layers: [0], method: scale() },
    { target: ['model.layers.1', 'o_proj'], method: combine([scale({ target: 'o_proj' }), shift()]) },
  ]);

test('other layers and other targets get other methods', () => {
  const { params } = attach(tinyLlama(), [mixture()]);
  expect([...params.keys()].sort()).toEqual([
    'scale1.model.layers.0.self_attn.q_proj.s',
    'scale_shift2.scale1.model.layers.0.self_attn.o_proj.s',
    'scale_shift2.scale1.model.layers.1.self_attn.o_proj.s',
    'scale_shift2.shift2.w',
  ]);
});

test('a combination acts as its methods attached one after the other', async () => {
  const r = reference();
  const base = tinyLlama();
  const whole = attach(base, [mixture()]);
  await shake(whole.state, { executor: r });
  let model = base;
  for (const [prefix, method] of [
    ['scale1.', combine([{ layers: [0], method: scale() }])],
    ['scale_shift2.scale1.', scale({ target: 'o_proj' })],
    ['scale_shift2.shift2.', combine([{ layers: [1], method: shift() }])],
  ] as const) {
    const one = attach(model, [method]);
    for (const [name, v] of one.state) await r.write(v, await r.read(whole.state.get(prefix + name)!));
    model = one.model;
  }
  expect(distance(await logits(model, r), await logits(whole.model, r))).toBeLessThan(1e-6);
  expect(distance(await logits(model, r), await logits(base, r))).toBeGreaterThan(0.01);
});

const inner = (): Method => combine([shift(), { name: 'deep', layers: [1], method: scale({ target: 'o_proj' }) }]);

test.each<[string, () => (Method | CombinedPart)[]]>([
  ['parts and combinations', () => [mixture()]],
  ['a combination in a part', () => [{ layers: [1], method: inner() }]],
  ['a combination in a combination in one', () => [{ method: combine([inner(), scale()]), layers: [0, 1] }, shift()]],
  ['a part of a part', () => [{ layers: [0, 1], method: combine([{ layers: [1], method: combine([shift()]) }]) }]],
])('%s: saved, and loaded to the bit', async (_, parts) => {
  const r = reference();
  const base = tinyLlama();
  const files = memoryFiles();
  const adapted = attach(base, [combine(parts())]);
  await shake(adapted.state, { executor: r });
  await save(adapted, files, { executor: r });
  const again = await load(base, files, [scale, shift]);
  expect([...again.state.keys()]).toEqual([...adapted.state.keys()]);
  expect(distance(await logits(again.model, r), await logits(adapted.model, r))).toBe(0);
  const twice = memoryFiles();
  await save(again, twice, { executor: r });
  expect((await readAdapter(twice)).config.raw).toEqual((await readAdapter(files)).config.raw);
});

test('a folder of a method that load was not given says so', async () => {
  const r = reference();
  const [base, files] = [tinyLlama(), memoryFiles()];
  await save(attach(base, [mixture()]), files, { executor: r });
  await expect(load(base, files, [scale])).rejects.toThrow(/of type SHIFT.*load was given: scale \(SCALE\)/);
});

/** A method that is another one when prepared, and has one tensor under another name when it is saved. */
const changing = (name: string, target = 'v_proj'): Method => {
  const own = scale({ target });
  return {
    ...own,
    name,
    prepare: async (model) => (expect(model.linears.size).toBe(7), changing(name, 'o_proj')),
    compact: async (_model: Model, state) => ({
      method: own,
      state: new Map([...state].map(([key, t]) => [`final.${key}`, t])),
    }),
  };
};

test('at any depth parts are prepared in what they see of the model, and saved in their final form', async () => {
  const r = reference();
  const base = tinyLlama();
  const method = combine([shift(), { layers: [1], name: 'a', method: combine([shift(), changing('b')]) }]);
  const examples = { rows: 1, columns: { ids: Int32Array.of(1) }, shapes: { ids: [1, 1] } };
  const ready = await method.prepare!(base as never, { data: [examples], executor: r });
  const state = [...attach(base, [ready]).state].map(
    ([name, v]) => [name, { shape: v.shape, data: Float32Array.of(1) }] as const,
  );
  const names = state.map(([name]) => name);
  expect(names).toContain('a.b2.model.layers.1.self_attn.o_proj.s');
  const final = await ready.compact!(base, new Map(state), { executor: r });
  expect([...final.state.keys()].sort()).toEqual(names.map((n) => n.replace('a.b2.', 'a.b2.final.')).sort());
});

test('says which part there is not', () => {
  const part = (where: Omit<CombinedPart, 'method'>): Adapted =>
    attach(tinyLlama(), [combine([{ ...where, method: shift() }])]);
  expect(() => part({ layers: [1, 7] })).toThrow('combine: there is no layer 7; there are 0, 1');
  expect(() => part({ target: 'c_attn' })).toThrow("combine: target 'c_attn' matches no layer");
  expect(() => part({ target: 'q_proj' })).toThrow('this part of the model has no site block');
  expect(() => attach(tinyGpt2(), [combine([{ layers: [], method: shift() }])])).toThrow('no layer in an empty list');
});

test('says what cannot be combined', () => {
  expect(() =>
    combine([
      { name: 'a', method: scale() },
      { name: 'a', method: shift() },
      { name: 'b.c', method: shift() },
    ]),
  ).toThrow('combine: "b.c" is no name of a part; letters, digits, _ and - are; two parts are called a');
  expect(() => combine([scale(), { layers: [0], method: shift() }], { layout: 'adapter-hub' })).toThrow(
    'scale1 has no files in the layout adapter-hub; combine them in the layout peft; shift2 has no files in the layout adapter-hub; combine them in the layout peft; shift2 is in a part of the model, which the layout adapter-hub cannot say',
  );
  const hub = { ...shift(), layout: 'adapter-hub' } as const;
  expect(() => attach(tinyLlama(), [combine([hub, hub], { layout: 'adapter-hub' })])).toThrow(
    'combine: shift1 and shift2 both make the tensor w; leave out one of them',
  );
});

test.each<[string, object]>([
  ['must list them', { methods: [] }],
  ['layers of adapter_config.json must be a list, got ["0"]', { methods: [{ name: 'a', layers: ['0'], method: {} }] }],
  ['"../a" is no name of a part', { methods: [{ name: '../a', method: {} }] }],
])('a file is not believed: %s', (message, fields) => {
  expect(() => combine.fromConfig({ peft_type: 'PEFTJS_COMBINATION', ...fields }, () => shift())).toThrow(message);
});
