import { attach } from '@peftjs/core';
import { constant, evaluate, isPeftError, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { poly, polyFor } from '../src/index.ts';

const base = tinyLlama();
const options = { rank: 2, tasks: 3, skills: 3, splits: 2 };
const ids = tokens([1, 5, 2, 9], [3, 7, 11, 0]);

test('each row of a batch has the skills of its task', async () => {
  const executor = reference();
  const of = async (format: typeof poly, inputs: object): Promise<Float32Array> => {
    const adapted = attach(base, [format(options)], { seed: 5 });
    await shake(adapted.params, { executor });
    const { logits } = await evaluate({ logits: adapted.model.outputs({ ids, ...inputs }) }, { executor });
    return logits as Float32Array;
  };
  const both = await of(poly, { task: constant(Int32Array.of(2, 0), [2]) });
  const [second, first] = [await of(polyFor(2), {}), await of(polyFor(0), {})];
  const half = both.length / 2;
  expect(distance(both.subarray(0, half), second.subarray(0, half))).toBeLessThan(1e-6);
  expect(distance(both.subarray(half), first.subarray(half))).toBeLessThan(1e-6);
  expect(distance(first, second)).toBeGreaterThan(1e-3);
});

test.each([
  ['without tasks', {}, 'bad-option', 'have no column task'],
  ['of a task that there is not', { task: constant(Int32Array.of(0, 3), [2]) }, 'bad-data', 'tasks 0 to 2, got 3'],
] as const)('inputs %s are refused', (_, inputs, code, words) => {
  const { model } = attach(base, [poly(options)]);
  const fault = ((): unknown => {
    try {
      return model.outputs({ ids, ...inputs });
    } catch (error) {
      return error;
    }
  })();
  expect(isPeftError(fault) && [fault.code, fault.message]).toEqual([code, expect.stringContaining(words)]);
});

test('training asks for the column, with tasks that there are', () => {
  expect(attach(base, [poly(options)]).columns).toEqual({ task: { shape: [], dtype: 'i32', below: 3 } });
  expect(attach(base, [poly({ ...options, tasks: 1 })]).columns).toEqual({});
  expect(() => polyFor(3)(options)).toThrow('there are tasks 0 to 2, polyFor got 3');
});
