import { attach } from '@peftjs/core';
import { evaluate, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { expect, test } from 'vitest';
import { vera } from '../src/index.ts';

test('vera shares one pair of projections, as large as the largest layer needs', () => {
  const { params, state } = attach(tinyLlama(), [vera({ rank: 5, target: ['q_proj', 'down_proj'] })]);
  const frozen = [...state.keys()].filter((name) => !params.has(name));
  expect(frozen.map((name) => [name, state.get(name)!.shape])).toEqual([
    ['vera_A', [5, 10]],
    ['vera_B', [24, 5]],
  ]);
});

test('the projections are drawn and not saved where that is wanted, and drawn alike', async () => {
  const values = async (saveProjections: boolean, seed: number): Promise<readonly [string[], ArrayLike<number>]> => {
    const adapted = attach(tinyLlama(), [vera({ rank: 5, saveProjections, seed, initialScale: 1 })]);
    const layer = 'model.layers.0.self_attn.q_proj';
    const r = reference();
    const gains = adapted.params.get(`${layer}.vera_lambda_b`)!;
    await r.write(gains, new Float32Array(gains.shape[0]!).fill(1));
    const { weight } = adapted.model.linears.get(layer)!.dense();
    return [[...adapted.state.keys()], (await evaluate({ weight }, { executor: r }))['weight']!];
  };
  const [saved, kept] = await values(true, 3);
  const [rest, drawn] = await values(false, 3);
  expect(saved).toEqual(expect.arrayContaining(['vera_A', 'vera_B', ...rest]));
  expect(rest).not.toContain('vera_A');
  expect(drawn).toEqual(kept);
  expect((await values(false, 4))[1]).not.toEqual(kept);
});
