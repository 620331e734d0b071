import { attach } from '@peftjs/core';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import type { TaskModel } from '@peftjs/transformer';
import { expect, test } from 'vitest';
import { hyperformer, hyperformerFor, hyperformerPlusPlus, hyperformerPlusPlusFor } from '../src/index.ts';

const executor = reference();
const options = { tasks: 2, reduction: 4, embedding: 3, projected: 4, hidden: 5 };
const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;

test.each([
  ['hyperformer', hyperformer, hyperformerFor],
  ['hyperformerPlusPlus', hyperformerPlusPlus, hyperformerPlusPlusFor],
] as const)('%s makes adapters of the task of each example', async (_, of, ofTask) => {
  const base = tinyLlama();
  const adapted = attach(base, [of(options)]);
  await shake(adapted.params, { executor });
  const [ids, tasks] = [
    [3, 1, 4],
    [1, 0],
  ];
  const inputs = { ids: tokens(ids, ids), task: constant(Int32Array.from(tasks), [2]) };
  const both = await valuesOf((adapted.model as TaskModel).outputs(inputs) as Tensor);
  const half = both.length / 2;
  const [first, second] = [both.subarray(0, half), both.subarray(half)];
  expect(distance(first, second)).toBeGreaterThan(1e-3);
  for (const [i, task] of tasks.entries()) {
    const one = attach(base, [ofTask(task)(options)]);
    for (const [name, v] of one.state) await executor.write(v, await executor.read(adapted.state.get(name)!));
    expect(distance(await valuesOf(one.model.logits(tokens(ids))), [first, second][i]!)).toBeLessThan(1e-5);
  }
  expect(() => adapted.model.logits(tokens(ids))).toThrow('the inputs have no column task, and there are 2 tasks');
  expect(() => ofTask(2)(options)).toThrow('there are tasks 0 to 1');
});
