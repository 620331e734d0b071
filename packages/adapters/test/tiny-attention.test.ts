import { attach, type State } from '@peftjs/core';
import { evaluate, reference, type TypedArray } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { tinyAttention } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const ids = tokens([1, 5, 2, 9, 4], [3, 3, 12, 0, 7]);
const method = tinyAttention({ heads: 3, average: true });
const first = 'model.layers.0.tiny_attn.';

/** Values moved off their first ones; `change` gives those of tensors that a test wants to have. */
const stateWith = async (
  change: (name: string, data: TypedArray) => TypedArray = (_, data) => data,
): Promise<State> => {
  const { state, params } = attach(base, [method]);
  await shake(params, { executor });
  const all: [string, { shape: readonly number[]; data: TypedArray }][] = [];
  for (const [name, v] of state) all.push([name, { shape: v.shape, data: change(name, await executor.read(v)) }]);
  return new Map(all);
};

const logitsOf = async (of: typeof method, state: State): Promise<ArrayLike<number>> => {
  const { model } = attach(base, [of], { state });
  return (await evaluate({ logits: model.logits(ids) }, { executor }))['logits']!;
};

test('heads that are alike are one, to rounding', async () => {
  const alike = await stateWith((name, data) => {
    // Rows of the three heads of queries, keys and values; columns of what reads the heads.
    if (name.endsWith('in_proj_weight')) return data.map((_, i) => data[Math.floor(i / 9) * 9 + (i % 3)]!);
    if (name.endsWith('in_proj_bias')) return data.map((_, i) => data[i - (i % 3)]!);
    return data;
  });
  const { method: one, state } = await method.compact!(base, alike, { executor });
  expect(state.get(`${first}linear1.weight`)!.shape).toEqual([3, 8]);
  expect(distance(await logitsOf(one, state), await logitsOf(method, alike))).toBeLessThan(1e-5);
});

test('others are the mean of their projections', async () => {
  const unlike = await stateWith();
  const { method: one, state } = await method.compact!(base, unlike, { executor });
  const of = (name: string): TypedArray => unlike.get(`${first}${name}`)!.data;
  const [inner, outer] = [of('attention.in_proj_weight'), of('linear1.weight')];
  // The values' projection: rows 6 to 8 of both.
  for (let column = 0; column < 8; column++) {
    let sum = 0;
    for (let head = 0; head < 3; head++)
      for (let i = 0; i < 3; i++) sum += inner[(6 + head) * 3 + i]! * outer[(6 + i) * 8 + column]!;
    expect(state.get(`${first}linear1.weight`)!.data[2 * 8 + column]).toBeCloseTo(sum / 3, 5);
  }
  expect(distance(await logitsOf(one, state), await logitsOf(method, unlike))).toBeGreaterThan(1e-4);
});

test('is saved as it was trained unless asked otherwise', async () => {
  const given = await stateWith();
  const { state } = await tinyAttention({ heads: 3 }).compact!(base, given, { executor });
  expect(state).toBe(given);
});

test('does not look across the documents of a row', () => {
  const { model } = attach(base, [tinyAttention()]);
  expect(() => model.outputs({ ids, documents: tokens([0, 0, 0, 1, 1], [0, 0, 0, 0, 0]) })).toThrow('rows of one text');
});
