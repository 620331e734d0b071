import { attach } from '@peftjs/core';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { distance, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { cpt } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const prompt = [4, 7, 2, 9];
const ids = [1, 5, 2];
const labels = tokens([5, 2, 8]);
const seed = constant(Uint32Array.of(1), []);
const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;

test('it begins as its tokens in front, and learns to predict the outputs among them', async () => {
  const adapted = attach(base, [cpt({ tokens: prompt, parts: [1, 2, 4, 8], decay: 0.5 })]);
  const whole = tokens([...prompt, ...ids]);
  const together = await valuesOf(base.logits(whole));
  const own = await valuesOf(adapted.model.logits(tokens(ids)));
  expect(distance(own, together.subarray(together.length - own.length))).toBeLessThan(1e-5);
  const { sum, weight } = adapted.loss({ ids: tokens(ids), labels }, seed);
  const lossAt = async (row: number[]): Promise<number> =>
    (await valuesOf(base.loss({ ids: whole, labels: tokens(row) }).sum))[0]!;
  const off = -100;
  const batch = await lossAt([off, off, off, off, 5, 2, 8]);
  const [first, second] = [
    await lossAt([off, 2, off, off, off, off, off]),
    await lossAt([off, off, 9, off, off, off, off]),
  ];
  expect((await valuesOf(sum))[0]).toBeCloseTo(batch + 0.25 * first + 0.5 * second, 4);
  expect((await valuesOf(weight))[0]).toBe(5);
});

test('says what is wrong', () => {
  expect(() => attach(base, [cpt({ tokens: [1, 99] })])).toThrow(
    'cpt: tokens has tokens 99, the vocabulary is 0 to 12',
  );
  expect(() => cpt({ tokens: prompt, parts: [1] })).toThrow('there are 4 tokens and 1 parts');
  expect(() => attach(base, [cpt({} as never)])).toThrow('cpt: tokens must be given');
});
