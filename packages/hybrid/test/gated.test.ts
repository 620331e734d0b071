import { pfeiffer } from '@peftjs/adapters';
import { attach, combine, load, type Method, mixBatch, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { dora, lora } from '@peftjs/lora';
import { prefixTuning, promptTuning } from '@peftjs/prompts';
import { evaluate, reference, sizeOf } from '@peftjs/tensor';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/testkit';
import { type CausalLM, meanOf } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { gated, mam, unipelt } from '../src/index.ts';

const executor = reference();
const logits = async (model: CausalLM): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(tokens([1, 5, 2, 9], [3, 3, 12, 0])) }, { executor }))['y'] as Float32Array;

describe.each([
  ['Llama', () => tinyLlama()],
  ['GPT-2', () => tinyGpt2()],
])('gates on %s', (_, make) => {
  test.each<[string, Method]>([
    ['lora', lora({ rank: 2 })],
    ['pfeiffer', pfeiffer({ bottleneck: 3 })],
    ['lora and pfeiffer', combine([lora({ rank: 2 }), pfeiffer({ bottleneck: 3 })])],
  ])('open they leave %s as it is, shut they leave the base', async (__, method) => {
    const base = make();
    const inner = attach(base, [method]);
    await shake(inner.params, { executor });
    const outer = attach(base, [gated({ method })]);
    for (const [name, v] of inner.params)
      await executor.write(outer.params.get(`method.${name}`)!, await executor.read(v));
    const set = async (bias: number): Promise<Float32Array> => {
      for (const [name, v] of outer.params)
        if (name.startsWith('gates.'))
          await executor.write(v, new Float32Array(sizeOf(v.shape)).fill(name.endsWith('.bias') ? bias : 0));
      return logits(outer.model);
    };
    const [off, on] = [await logits(base), await logits(inner.model)];
    expect(distance(await set(40), on)).toBeLessThan(1e-5);
    expect(distance(await set(-40), off)).toBeLessThan(1e-5);
    expect(distance(await set(0), off)).toBeGreaterThan(1e-3);
    expect(distance(await set(0), on)).toBeGreaterThan(1e-3);
  });

  test('shut they leave of a prefix and of a prompt keys and rows of zeros', async () => {
    for (const method of [prefixTuning({ length: 2 }), promptTuning({ length: 2 })]) {
      const base = make();
      const zeros = attach(base, [method]);
      for (const v of zeros.params.values()) await executor.write(v, new Float32Array(sizeOf(v.shape)));
      const shut = attach(base, [gated({ method })]);
      for (const [name, v] of shut.params)
        if (name.endsWith('.bias')) await executor.write(v, new Float32Array(sizeOf(v.shape)).fill(-80));
      expect(distance(await logits(shut.model), await logits(zeros.model))).toBeLessThan(1e-5);
    }
  });
});

test('a head is gated over the whole sequence, in its loss too', async () => {
  const { model, params } = attach(tinyLlama(), [gated({ method: lora({ rank: 2, target: ['lm_head'] }) })]);
  await shake(params, { executor });
  const [ids, labels] = [tokens([1, 5, 2, 9]), tokens([5, 2, 9, 4])];
  const { y, loss } = await evaluate({ y: model.logits(ids), loss: meanOf(model.loss({ ids, labels })) }, { executor });
  const expected = [5, 2, 9, 4].reduce((sum, label, t) => {
    const row = Array.from(y!.slice(t * 13, (t + 1) * 13));
    return sum + Math.log(row.reduce((total, z) => total + Math.exp(z), 0)) - row[label]!;
  }, 0);
  expect(loss![0]).toBeCloseTo(expected / 4, 5);
});

test('says what is wrong', () => {
  expect(() => gated({} as never)).toThrow('gated: method must be one, such as lora(), got undefined');
  expect(() => gated({ method: lora(), rank: 3 } as never)).toThrow('gated: there is no option rank; there is method');
  expect(() => mam({ lora: {} } as never)).toThrow('mam: there is no option lora; there are prefix, adapter');
  expect(() => unipelt({ lora: { rank: 0 } })).toThrow(
    'adapterHubGatedLora: rank must be a whole number of at least 1, got 0',
  );
});

const within = (method: Method): Method => combine([{ layers: [1], method }]);
const parts = { prefix: { length: 2, bottleneck: 3 }, adapter: { bottleneck: 3 } };

test.each<[string, () => Method]>([
  ['gates around parts', () => gated({ method: combine([{ layers: [0], method: lora() }, pfeiffer()]) })],
  ['a part with gates', () => combine([dora({ rank: 2 }), within(gated({ method: lora({ rank: 2 }) }))])],
  ['a recipe in a part', () => combine([within(mam(parts)), lora({ rank: 2 })])],
  ['gates around a prefix', () => combine([gated({ method: prefixTuning({ length: 2 }) }), within(pfeiffer())])],
  ['a recipe with gates beside another', () => combine([unipelt({ ...parts, lora: { rank: 2 } }), within(lora())])],
])('%s: saved, loaded to the bit, and a row of a mixed batch', async (_, method) => {
  const base = tinyLlama();
  const adapted = attach(base, [method()]);
  await shake(adapted.params, { executor });
  const files = memoryFiles();
  await save(adapted, files, { executor });
  const again = await load(base, files, [gated, mam, unipelt, pfeiffer, prefixTuning, dora, lora]);
  expect([...again.state.keys()]).toEqual([...adapted.state.keys()]);
  const alone = await logits(adapted.model);
  expect(distance(await logits(again.model), alone)).toBe(0);
  const mixed = mixBatch([again], 2);
  await mixed.assign([null, 0], { executor });
  const half = alone.length / 2;
  const [got, without] = [await logits(mixed.model), await logits(base)];
  expect(distance(got.slice(0, half), without.slice(0, half))).toBeLessThan(1e-5);
  expect(distance(got.slice(half), alone.slice(half))).toBeLessThan(1e-5);
});
