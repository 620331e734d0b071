import { compacter, houlsby } from '@peftjs/adapters';
import { type Adapted, attach, averageAdapters, type State } from '@peftjs/core';
import { evaluate, normalValues, randomSource, reference, sizeOf } from '@peftjs/tensor';
import { distance, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { mera } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const ids = tokens([1, 5, 2, 9], [3, 3, 0, 7]);

const shaken = async (seed: number): Promise<Adapted<typeof base>> => {
  const adapted = attach(base, [houlsby({ bottleneck: 4 })], { seed });
  for (const [name, v] of adapted.params)
    await executor.write(v, normalValues(sizeOf(v.shape), 0.3, randomSource(seed, name)));
  return adapted;
};

/** The same function with the units of every bottleneck turned by one place. */
const turned = async ({ base: own, methods, state }: Adapted<typeof base>): Promise<Adapted<typeof base>> => {
  const moved: [string, State extends ReadonlyMap<string, infer T> ? T : never][] = [];
  for (const [name, v] of state) {
    const data = (await executor.read(v)) as Float32Array;
    const [rows, columns = 1] = v.shape as readonly [number, number];
    const at = (i: number): number => {
      if (/adapter_down/.test(name))
        return (((Math.floor(i / columns) + 1) % rows) * columns + (i % columns)) as number;
      return /adapter_up\.weight/.test(name) ? i - (i % columns) + (((i % columns) + 1) % columns) : i;
    };
    moved.push([name, { shape: v.shape, data: Float32Array.from(data, (_, i) => data[at(i)]!) }]);
  }
  return attach(own, methods, { state: new Map(moved) });
};

const logitsOf = async ({ model }: Adapted<typeof base>): Promise<Float32Array> =>
  (await evaluate({ y: model.logits(ids) }, { executor }))['y'] as Float32Array;

test('the order of units does not matter: an adapter and itself in another order are that adapter', async () => {
  const adapted = await shaken(1);
  const other = await turned(adapted);
  const wanted = await logitsOf(adapted);
  expect(distance(await logitsOf(other), wanted)).toBeLessThan(1e-5);
  expect(distance(await logitsOf(await mera([adapted, other], { executor })), wanted)).toBeLessThan(1e-5);
  const data = [{ rows: 1, columns: { ids: Int32Array.of(1, 5, 2, 9, 4) }, shapes: { ids: [1, 5] } }];
  expect(distance(await logitsOf(await mera([adapted, other], { executor, data })), wanted)).toBeLessThan(1e-5);
  expect(distance(await logitsOf(await averageAdapters([adapted, other], { executor })), wanted)).toBeGreaterThan(1e-2);
});

test('another order of one of several changes nothing of what is made, whatever the anchor', async () => {
  const all = await Promise.all([1, 2, 3].map(shaken));
  for (const anchor of [0, 2]) {
    const made = await logitsOf(await mera(all, { executor, weights: [1, 2, 3], anchor }));
    const moved = [all[0]!, await turned(all[1]!), all[2]!];
    expect(distance(await logitsOf(await mera(moved, { executor, weights: [1, 2, 3], anchor })), made)).toBeLessThan(
      1e-5,
    );
  }
});

test('what has no units to bring together is refused, and so is what cannot be averaged', async () => {
  const adapted = await shaken(1);
  await expect(mera([adapted], { executor, data: [] })).rejects.toThrow('a list of batches, one at least');
  await expect(mera([adapted], { executor, anchor: 1 })).rejects.toThrow('anchor 1 is not among 1 adapters');
  await expect(mera([attach(base, [compacter({ dimension: 2, bottleneck: 4 })])], { executor })).rejects.toThrow(
    'no bottleneck of two matrices',
  );
  await expect(mera([adapted, attach(base, [houlsby({ bottleneck: 2 })])], { executor })).rejects.toThrow('adapter 1');
});
