import { attach, snapshot } from '@peftjs/core';
import { constant, evaluate, reference, type Tensor, type Variable } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { multitaskPromptTuning, multitaskPromptTuningFor, type SourcePrompt } from '../src/index.ts';

const base = tinyLlama();
const executor = reference();
const options = { length: 3, rank: 2, tasks: 3 };
const ids = tokens([1, 5, 2, 9], [3, 7, 11, 0]);

const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;

test('each row of a batch has the prompt of its task', async () => {
  const of = async (format: typeof multitaskPromptTuning, inputs: object): Promise<Float32Array> => {
    const adapted = attach(base, [format(options)], { seed: 5 });
    await shake(adapted.params, { executor });
    return valuesOf(adapted.model.outputs({ ids, ...inputs }));
  };
  const both = await of(multitaskPromptTuning, { task: constant(Int32Array.of(2, 0), [2]) });
  const [second, first] = [await of(multitaskPromptTuningFor(2), {}), await of(multitaskPromptTuningFor(0), {})];
  const half = both.length / 2;
  expect(distance(both.subarray(0, half), second.subarray(0, half))).toBeLessThan(1e-6);
  expect(distance(both.subarray(half), first.subarray(half))).toBeLessThan(1e-6);
  expect(distance(first, second)).toBeGreaterThan(1e-3);
});

test('a new task begins with what others have learned', async () => {
  const trained = attach(base, [multitaskPromptTuning(options)], { seed: 5 });
  await shake(trained.params, { executor });
  const source = await snapshot(trained, { executor });
  const of = async (name: string, factors: SourcePrompt['factors'], tasks = 1): Promise<Float32Array> => {
    const method = multitaskPromptTuning({ ...options, tasks, init: { source, factors } });
    return valuesOf(attach(base, [method], { seed: 6 }).params.get(name) as Variable);
  };
  const theirs = (name: string): number[] => Array.from(source.state.get(name)!.data);
  const [rows, u] = [theirs('prompt_embeddings'), theirs('prefix_task_cols')];
  const size = u.length / 3;
  const mean = Float32Array.from({ length: size }, (_, i) => (u[i]! + u[size + i]! + u[2 * size + i]!) / 3);
  for (const factors of ['average', 'none', 1] as const)
    expect([...(await of('prompt_embeddings', factors))]).toEqual(rows);
  expect([...(await of('prefix_task_cols', 1))]).toEqual(u.slice(size, 2 * size));
  expect(distance(await of('prefix_task_cols', 'average'), mean)).toBeLessThan(1e-6);
  expect(distance(await of('prefix_task_cols', 'average', 2), Float32Array.of(...mean, ...mean))).toBeLessThan(1e-6);
  expect(distance(await of('prefix_task_cols', 'none'), mean)).toBeGreaterThan(0.01);
  await expect(of('prefix_task_cols', 3)).rejects.toThrow('the source has tasks 0 to 2, got 3');
  const longer = multitaskPromptTuning({ length: 4, rank: 2, init: { source, factors: 'none' } });
  expect(() => attach(base, [longer])).toThrow('prompt_embeddings must be [4, 8] as here, got [3, 8]');
});

test('training asks for the column, with tasks that there are', () => {
  expect(attach(base, [multitaskPromptTuning(options)]).columns).toEqual({
    task: { shape: [], dtype: 'i32', below: 3 },
  });
  expect(() => multitaskPromptTuningFor(3)(options)).toThrow('there are tasks 0 to 2, multitaskPromptTuningFor got 3');
  expect(() => attach(base, [multitaskPromptTuning(options)]).model.outputs({ ids })).toThrow('have no column task');
});
