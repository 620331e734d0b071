import { attach } from '@peftjs/core';
import { evaluate, reference } from '@peftjs/tensor';
import { shake, tinyVit } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { convpass, vpt, vqt } from '../src/index.ts';
import { picture } from './picture.ts';

test.each([
  ['vpt', vpt({ length: 2, deep: true })],
  ['convpass', convpass({ bottleneck: 2, dropout: 0 })],
])('queries around %s leave what it makes of the picture as it is', async (_, method) => {
  const executor = reference();
  const base = tinyVit();
  const pixels = picture(base);
  // The queries' answers count for nothing.
  const silent = attach(base, [method, vqt({ length: 9, normalize: false })], { seed: 1 });
  await shake(silent.params, { executor });
  for (const [name, v] of silent.params)
    if (name.endsWith('query_weight')) await executor.write(v, new Float32Array(v.shape[0]! * v.shape[1]!));
  const alone = attach(base, [method], { seed: 1 });
  for (const [name, v] of alone.params) {
    const [there] = [...silent.params].find(([other]) => other.endsWith(name)) ?? [];
    await executor.write(v, await executor.read(silent.params.get(there!)!));
  }
  const { a, b } = await evaluate(
    { a: silent.model.outputs({ pixels }), b: alone.model.outputs({ pixels }) },
    { executor },
  );
  for (const [i, value] of b!.entries()) expect(a![i]).toBeCloseTo(value, 6);
});
