import { attach } from '@peftjs/core';
import { constant, evaluate, reference } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { mtLora, mtLoraFor } from '../src/index.ts';

const base = tinyLlama();
const options = { rank: 2, taskRank: 2, tasks: 3, dropout: 0 };
const ids = tokens([1, 5, 2, 9], [3, 7, 11, 0]);

test('each row of a batch has the update of its task', async () => {
  const executor = reference();
  const of = async (format: typeof mtLora, inputs: object): Promise<Float32Array> => {
    const adapted = attach(base, [format(options)], { seed: 5 });
    await shake(adapted.params, { executor });
    const { logits } = await evaluate({ logits: adapted.model.outputs({ ids, ...inputs }) }, { executor });
    return logits as Float32Array;
  };
  const both = await of(mtLora, { task: constant(Int32Array.of(2, 0), [2]) });
  const [second, first] = [await of(mtLoraFor(2), {}), await of(mtLoraFor(0), {})];
  const half = both.length / 2;
  expect(distance(both.subarray(0, half), second.subarray(0, half))).toBeLessThan(1e-6);
  expect(distance(both.subarray(half), first.subarray(half))).toBeLessThan(1e-6);
  expect(distance(first, second)).toBeGreaterThan(1e-3);
});

test('tasks have updates of their own in the last block alone, or in all', () => {
  const blocks = base.paths('block');
  const having = (taskBlocks: 'last' | 'all'): string[] => {
    const { params } = attach(base, [mtLora({ ...options, taskBlocks })]);
    const own = [...params.keys()].filter((name) => name.endsWith('lora_tasks_A'));
    expect(own.some((name) => /[qkv]_proj/.test(name))).toBe(false);
    return blocks.filter((block) => own.some((name) => name.startsWith(`${block}.`)));
  };
  expect(having('last')).toEqual(blocks.slice(-1));
  expect(having('all')).toEqual(blocks);
  expect(() => attach(base, [mtLora({ ...options, target: 'q_proj' })])).toThrow(
    'no layer of it would have an update of tasks',
  );
});
