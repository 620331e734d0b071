import { grad } from '@peftjs/autograd';
import { attach, type State } from '@peftjs/core';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { distance, shake, tinyLlama, tokens } from '@peftjs/testkit';
import { meanOf } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { type DyloraOptions, dylora } from '../src/index.ts';

const executor = reference();
const base = tinyLlama();
const ids = tokens([1, 5, 2, 9]);
const inputs = { ids, labels: tokens([5, 2, 9, 4]) };
const seedOf = (n: number): Tensor => constant(Uint32Array.of(n), []);
const options = { rank: 4, minRank: 2, alpha: 3 };
const path = 'model.layers.0.self_attn.q_proj';

/** Values that are not the first ones, the same each time. */
const shaken = async (): Promise<State> => {
  const { params } = attach(base, [dylora(options)]);
  await shake(params, { executor });
  return new Map(
    await Promise.all(
      [...params].map(async ([name, v]) => [name, { shape: v.shape, data: await executor.read(v) }] as const),
    ),
  );
};
const state = await shaken();
const adaptedWith = (more: DyloraOptions): ReturnType<typeof attach<typeof base>> =>
  attach(base, [dylora({ ...options, ...more })], { state });

/** Gradients of A and B of a layer, of the training loss of a seed or of the loss at evaluation. */
const gradientsOf = async (
  { model, params, loss }: ReturnType<typeof adaptedWith>,
  seed: number | null,
): Promise<readonly [Float32Array, Float32Array]> => {
  const value = meanOf(seed === null ? model.loss(inputs) : loss(inputs, seedOf(seed)));
  const [a, b] = grad(
    value,
    ['A', 'B'].map((n) => params.get(`${path}.lora_${n}`)!),
  );
  const found = await evaluate({ a: a!, b: b! }, { executor });
  return [found['a'] as Float32Array, found['b'] as Float32Array];
};

/** The rank that the pass of a seed has: the one whose logits it gives. */
const rankOf = async (seed: number): Promise<number> => {
  const of = (logits: Tensor): Promise<Record<string, ArrayLike<number>>> => evaluate({ logits }, { executor });
  const { logits } = await of(adaptedWith({}).training(seedOf(seed)).logits(ids));
  const fitting: number[] = [];
  for (const b of [1, 2, 3, 4]) {
    const wanted = await of(adaptedWith({ evaluationRank: b }).model.logits(ids));
    if (distance(logits!, wanted['logits']!) < 1e-6) fitting.push(b);
  }
  expect(fitting).toHaveLength(1);
  return fitting[0]!;
};

/** Seeds of each rank. */
const seeds = async (): Promise<Map<number, number>> =>
  new Map(await Promise.all(Array.from({ length: 12 }, async (_, seed) => [await rankOf(seed), seed] as const)));

describe('dylora', () => {
  test('draws every rank from the smallest to the largest, and no other, the same in all layers', async () => {
    expect([...(await seeds()).keys()].toSorted()).toEqual([2, 3, 4]);
  });

  test('has the gradients of its rank, nothing beyond; with frozen those of the last row and column alone', async () => {
    for (const [b, seed] of await seeds()) {
      const [wantedA, wantedB] = await gradientsOf(adaptedWith({ evaluationRank: b }), null);
      const [a, columns] = await gradientsOf(adaptedWith({ frozen: false }), seed);
      expect(distance(a, wantedA), `A, rank ${b}`).toBeLessThan(1e-6);
      expect(distance(columns, wantedB), `B, rank ${b}`).toBeLessThan(1e-6);
      const [frozenA, frozenB] = await gradientsOf(adaptedWith({ frozen: true }), seed);
      const lastRow = wantedA.map((v, i) => (Math.floor(i / 8) === b - 1 ? v : 0));
      const lastColumn = wantedB.map((v, i) => (i % 4 === b - 1 ? v : 0));
      expect(distance(frozenA, lastRow), `A, rank ${b}, frozen`).toBeLessThan(1e-6);
      expect(distance(frozenB, lastColumn), `B, rank ${b}, frozen`).toBeLessThan(1e-6);
      expect(lastRow.some((v) => v !== 0)).toBe(true);
    }
  });
});
