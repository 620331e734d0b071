import { attach, average, type BlockParts, batchSplit, load, type Method, parallel, save, stack } from '@peftjs/core';
import { memoryFiles, readAdapter } from '@peftjs/io';
import { evaluate, reference } from '@peftjs/tensor';
import { shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { houlsby, madX, parallelAdapter, pfeiffer } from '../src/index.ts';

const layout = 'adapter-hub';
const sums = (): Method => pfeiffer({ bottleneck: 2 });
const outputs = (): Method => houlsby({ bottleneck: 2 });
const config = (method: Method): unknown => method.config(tinyLlama());

test.each<[string, () => Method]>([
  [
    'divides a sum whose weights are 1 together by the number of parts once more',
    () => average({ a: sums(), b: sums() }, { layout }),
  ],
  [
    'add the stream twice where an adapter reads the sum with it',
    () => parallel({ a: sums(), b: stack({ c: sums(), d: sums() }, { layout }) }, { layout }),
  ],
  [
    'takes where adapters read and what they are added to from one of them',
    () => stack({ a: sums(), b: outputs() }, { layout }),
  ],
  [
    'adapters beside a sublayer, or without a sum after them, are not stacked',
    () => stack({ a: parallelAdapter(), b: parallelAdapter() }, { layout }),
  ],
  ['Stack computes something else of invertible', () => stack({ a: stack({ b: madX() }, { layout }) }, { layout })],
  [
    'its blocks nest less deep',
    () =>
      batchSplit(
        { a: batchSplit({ b: batchSplit({ c: outputs() }, { sizes: [1], layout }) }, { sizes: [1], layout }) },
        { sizes: [1], layout },
      ),
  ],
])('the adapters library cannot say it: %s', (message, make) => {
  if (message.startsWith('Stack')) {
    expect(() => config(make())).toThrow('its Stack takes no a, of the kind stack');
    return;
  }
  expect(() => config(make())).toThrow(message);
});

test("a language's adapter with its invertible one, under two tasks'", async () => {
  const r = reference();
  const base = tinyLlama();
  const parts = (): BlockParts => ({ language: madX({ bottleneck: 2 }), task: sums() });
  const adapted = attach(base, [stack(parts(), { layout })]);
  await shake(adapted.state, { executor: r });
  const files = memoryFiles();
  await save(adapted, files, { executor: r });
  expect((await readAdapter(files)).config.raw).toMatchObject({ architecture: 'block', type: 'Stack' });
  const again = await load(base, files, [pfeiffer, madX]);
  const ids = tokens([1, 5, 2, 9]);
  const [a, b] = await Promise.all(
    [adapted, again].map(async ({ model }) => (await evaluate({ y: model.logits(ids) }, { executor: r }))['y']),
  );
  expect(b).toEqual(a);
});

test('a part that stands twice is one folder where its values are the same, and refused where they are not', async () => {
  const r = reference();
  const base = tinyLlama();
  const both = (): Method => {
    const one = (): Method => stack({ shared: outputs(), own: outputs() }, { layout });
    return parallel({ a: one(), b: stack({ shared: outputs(), other: outputs() }, { layout }) }, { layout });
  };
  const adapted = attach(base, [both()]);
  await shake(adapted.state, { executor: r });
  await expect(save(adapted, memoryFiles(), { executor: r })).rejects.toThrow(
    'two parts are called shared and hold other values',
  );
  for (const [name, v] of adapted.state)
    if (name.startsWith('b.shared.')) await r.write(v, await r.read(adapted.state.get(name.replace('b.', 'a.'))!));
  const files = memoryFiles();
  await save(adapted, files, { executor: r });
  const again = await load(base, files, [houlsby]);
  expect([...again.state.keys()].filter((name) => name.includes('shared'))).toHaveLength(
    [...adapted.state.keys()].filter((name) => name.includes('shared')).length,
  );
});
