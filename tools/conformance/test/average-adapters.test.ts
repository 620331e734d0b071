import { type Adapted, attach, averageAdapters, load, type Method, save } from '@peftjs/core';
import { memoryFiles } from '@peftjs/io';
import { lora, randlora } from '@peftjs/lora';
import { normalValues, randomSource, reference, sizeOf } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';

const executor = reference();
const base = tinyLlama();
const shaken = async (method: Method, seed: number): Promise<Adapted> => {
  const adapted = attach(base, [method], { seed });
  for (const [name, v] of adapted.params)
    await executor.write(v, normalValues(sizeOf(v.shape), 0.1, randomSource(seed, name)));
  return adapted;
};

test('the average of adapters has the average of their values, and is saved as one of them', async () => {
  const [a, b] = [await shaken(lora({ rank: 2 }), 1), await shaken(lora({ rank: 2 }), 2)];
  const one = await averageAdapters([a, b], { executor, weights: [1, 3] });
  const raw = await averageAdapters([a, b], { executor, weights: [1, -1], normalize: false });
  for (const [name, v] of a.state) {
    const [x, y] = [await executor.read(v), await executor.read(b.state.get(name)!)];
    const [mean, difference] = [await executor.read(one.state.get(name)!), await executor.read(raw.state.get(name)!)];
    for (const [i, value] of mean.entries()) {
      expect(value).toBeCloseTo(0.25 * x[i]! + 0.75 * y[i]!, 6);
      expect(difference[i]).toBeCloseTo(x[i]! - y[i]!, 6);
    }
    expect(Array.from(x)).not.toEqual(Array.from(y));
  }
  const files = memoryFiles();
  await save(one, files, { executor });
  expect([...(await load(base, files, [lora])).state.keys()]).toEqual([...a.state.keys()]);
});

test('what cannot be averaged is refused, and told', async () => {
  const a = await shaken(lora({ rank: 2 }), 1);
  const refused = (others: readonly Adapted[], options: object): Promise<unknown> =>
    averageAdapters([a, ...others], { executor, ...options }).then(
      () => null,
      (error: Error) => error.message,
    );
  expect(await refused([await shaken(lora({ rank: 2, alpha: 3 }), 2)], {})).toContain(
    'adapter 1: lora_alpha is 3 there',
  );
  expect(await refused([await shaken(lora({ rank: 3 }), 2)], {})).toContain('adapter 1: r is 3 there');
  expect(await refused([attach(tinyLlama(), [lora({ rank: 2 })])], {})).toContain('has another base');
  expect(await refused([a], { weights: [1] })).toContain('2 adapters and 1 weights');
  expect(await refused([a], { weights: [1, -1] })).toContain('normalize: false');
  await expect(averageAdapters([], { executor })).rejects.toThrow('there is no adapter');
  const drawn = await Promise.all([3, 4].map((seed) => shaken(randlora({ rank: 2 }), seed)));
  await expect(averageAdapters(drawn, { executor })).rejects.toThrow('randlora_A is not trained and differs');
});
