import { attach } from '@peftjs/core';
import { evaluate, reference, slice, type Tensor } from '@peftjs/tensor';
import { distance, tinyGpt2, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { cartridge } from '../src/index.ts';

const executor = reference();
const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;
const [text, ids] = [
  [4, 7, 2, 11],
  [1, 5, 2, 9],
];

test.each([
  ['Llama', tinyLlama],
  ['GPT-2', tinyGpt2],
] as const)('on %s it begins as the cache of the first tokens of a text', async (_, make) => {
  const base = make();
  const { model } = attach(base, [cartridge({ length: 3, init: { text } })]);
  const whole = base.logits(tokens([...text.slice(0, 3), ...ids]));
  const wanted = await valuesOf(slice(whole, { axis: 1, start: 3, end: 7 }));
  expect(distance(await valuesOf(model.logits(tokens(ids))), wanted)).toBeLessThan(1e-5);
});

test('says what is wrong', () => {
  expect(() => cartridge({ length: 5, init: { text } })).toThrow('a text of 5 tokens or more is needed, got 4');
  expect(() => cartridge({ length: 2, frozen: 2 })).toThrow('frozen must be below length, 2, got 2');
});
