import { attach } from '@peftjs/core';
import type { PromptSnapshot } from '@peftjs/prompts';
import { constant, evaluate, normalValues, randomSource, reference, type Tensor, type Variable } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { attempt, attemptFor } from '../src/index.ts';

const base = tinyLlama();
const executor = reference();
const source = (name: string): PromptSnapshot => ({
  state: new Map([['prompt_embeddings', { shape: [3, 8], data: normalValues(24, 1, randomSource(7, name)) }]]),
});
const sources = [source('one'), source('two')];
const options = { sources, length: 3, tasks: 2, temperature: 2 };
const ids = tokens([1, 5, 2, 9], [3, 7, 11, 0]);
const valuesOf = async (y: Tensor): Promise<Float32Array> => (await evaluate({ y }, { executor }))['y'] as Float32Array;

test('each row of a batch has the prompt of its task', async () => {
  const of = async (format: typeof attempt, inputs: object): Promise<Float32Array> => {
    const adapted = attach(base, [format(options)], { seed: 5 });
    await shake(adapted.params, { executor });
    return valuesOf(adapted.model.outputs({ ids, ...inputs }));
  };
  const both = await of(attempt, { task: constant(Int32Array.of(1, 0), [2]) });
  const [second, first] = [await of(attemptFor(1), {}), await of(attemptFor(0), {})];
  const half = both.length / 2;
  expect(distance(both.subarray(0, half), second.subarray(0, half))).toBeLessThan(1e-6);
  expect(distance(both.subarray(half), first.subarray(half))).toBeLessThan(1e-6);
  expect(distance(first, second)).toBeGreaterThan(1e-3);
});

test('a task begins with a source, and what is wrong is said', async () => {
  const { params } = attach(base, [attempt({ ...options, init: 1 })]);
  const rows = await valuesOf(params.get('prompt_embeddings') as Variable);
  const known = [...sources[1]!.state.get('prompt_embeddings')!.data];
  expect([...rows]).toEqual([...known, ...known]);
  expect(() => attempt({ ...options, init: 2 })).toThrow('there are sources 0 to 1, got 2');
  expect(() => attach(base, [attempt({ ...options, length: 4 })])).toThrow(
    'attempt: sources 0: a prompt of [4, 8] is needed, got [3, 8]',
  );
});
