import { attach, snapshot } from '@peftjs/core';
import { type PromptSnapshot, promptTuning } from '@peftjs/prompts';
import { evaluate, reference, type Variable } from '@peftjs/tensor';
import { shake, tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { promptSimilarity, rankPrompts } from '../src/index.ts';

const prompt = (...rows: number[][]): PromptSnapshot => ({
  state: new Map([
    ['prompt_embeddings', { shape: [rows.length, rows[0]!.length], data: Float32Array.from(rows.flat()) }],
  ]),
});

test('prompts are compared by the means of their rows, or row by row', () => {
  const [a, b] = [prompt([1, 0], [0, 1]), prompt([2, 0], [0, -2])];
  expect(promptSimilarity(a, a)).toBeCloseTo(1, 6);
  expect(promptSimilarity(a, a, 'tokens')).toBeCloseTo(0.5, 6);
  expect(promptSimilarity(a, b)).toBeCloseTo(0, 6);
  expect(promptSimilarity(a, b, 'tokens')).toBeCloseTo(0, 6);
  expect(promptSimilarity(a, prompt([3, 3]), 'tokens')).toBeCloseTo(Math.SQRT1_2, 6);
  const far = prompt([-1, -1]);
  expect(rankPrompts(a, { far, b, same: a }).map(({ name }) => name)).toEqual(['same', 'b', 'far']);
  expect(() => promptSimilarity(a, prompt([1, 2, 3]))).toThrow('rows of 2 and 3 values');
  expect(() => promptSimilarity(a, { state: new Map() })).toThrow('a state without prompt_embeddings');
});

test('a prompt begins where another one has come to', async () => {
  const [base, executor] = [tinyLlama(), reference()];
  const trained = attach(base, [promptTuning({ length: 3 })]);
  await shake(trained.params, { executor });
  const source = await snapshot(trained, { executor });
  const next = attach(base, [promptTuning({ length: 3, init: { prompt: source } })]);
  const { rows } = await evaluate({ rows: next.params.get('prompt_embeddings') as Variable }, { executor });
  expect([...rows!]).toEqual([...source.state.get('prompt_embeddings')!.data]);
  expect(() => attach(base, [promptTuning({ length: 4, init: { prompt: source } })])).toThrow(
    'a prompt of [4, 8] is needed, got [3, 8]',
  );
});
