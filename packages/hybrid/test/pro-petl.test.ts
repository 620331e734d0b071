import { type Adapted, attach, load, type Method, type MethodFormat, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { evaluate, reference, sizeOf } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import type { CausalLM } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { proPetlAdapter, proPetlLora } from '../src/index.ts';

const executor = reference();
const logits = async ({ model }: Pick<Adapted, 'model'>): Promise<Float32Array> =>
  (await evaluate({ y: (model as CausalLM).logits(tokens([1, 5, 2, 9])) }, { executor }))['y'] as Float32Array;

test.each<[string, Method, MethodFormat]>([
  ['proPetlLora', proPetlLora({ rank: 3, keep: 0.3 }), proPetlLora],
  ['proPetlAdapter', proPetlAdapter({ bottleneck: 5, keep: 0.7 }), proPetlAdapter],
])('%s saves its prototypes once and a bit for each value of a mask, which do the same', async (_, method, format) => {
  const base = tinyLlama();
  const trained = attach(base, [method]);
  await shake(trained.params, { executor });
  const files = memoryFiles();
  await save(trained, files, { executor });
  const loaded = await load(base, files, [format]);
  expect(distance(await logits(loaded), await logits(trained))).toBeLessThan(1e-6);
  const names = [...loaded.state.keys()];
  expect(names.filter((name) => name.endsWith('_mask'))).toEqual([]);
  for (const [name, { shape }] of loaded.state) {
    if (!name.endsWith('_bits')) continue;
    const scores = trained.params.get(name.replace('_bits', '_mask'))!;
    expect(shape).toEqual([Math.ceil(sizeOf(scores.shape) / 8)]);
  }
  expect([...loaded.params.keys()].every((name) => name.startsWith('prototype'))).toBe(true);
});

test('a share of masks above 1 is refused', () => {
  expect(() => proPetlLora({ keep: 1.5 })).toThrow('keep must be a share in (0, 1]');
});
