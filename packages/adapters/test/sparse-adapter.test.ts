import { grad } from '@peftjs/autograd';
import { attach, type Examples, prepare } from '@peftjs/core';
import { evaluate, reference } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { meanOf } from '@peftjs/transformer';
import { distance, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { bottleneckAdapter, type SparseAdapterOptions, sparseAdapter } from '../src/index.ts';
import { erdosRenyi } from '../src/sparse-adapter/choose.ts';

const executor = reference();
const batches = [
  { ids: [1, 5, 2, 9], labels: [5, 2, 9, -100] },
  { ids: [3, 7], labels: [7, 12] },
];
const data = batches.map(
  ({ ids, labels }): Examples => ({
    rows: 1,
    columns: { ids: Int32Array.from(ids), labels: Int32Array.from(labels) },
    shapes: { ids: [1, ids.length], labels: [1, labels.length] },
  }),
);

const shape = { bottleneck: 3, seed: 4 };
const pruned = async (options: SparseAdapterOptions) => {
  const base = tinyLlama();
  const [method] = await prepare(base, [sparseAdapter({ ...shape, ...options })], { executor, data });
  return attach(base, [method!]);
};

/** The entries that stay, as "name place". */
const keptIn = async ({ state }: Awaited<ReturnType<typeof pruned>>): Promise<string[]> => {
  const all: string[] = [];
  for (const [name, v] of state)
    if (name.endsWith('.sparse_index'))
      for (const place of await executor.read(v)) all.push(`${name.replace('.sparse_index', '')} ${place}`);
  return all;
};

/** The matrices before pruning, their values, and their gradients summed over the batches. */
const dense = async () => {
  const { model, params } = attach(tinyLlama(), [bottleneckAdapter({ bottleneck: 3 })], { seed: 4 });
  const matrices = [...params].filter(([name]) => name.endsWith('.weight'));
  const all = new Map<string, { value: number; gradient: number }>();
  for (const { ids, labels } of batches) {
    const loss = meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) }));
    const gradients = grad(
      loss,
      matrices.map(([, v]) => v),
    );
    const found = await evaluate(Object.fromEntries(gradients.map((g, i) => [`${i}`, g])), { executor });
    for (const [i, [name, v]] of matrices.entries())
      for (const [place, value] of (await executor.read(v)).entries()) {
        const key = `${name.replace('.weight', '')} ${place}`;
        all.set(key, { value, gradient: (all.get(key)?.gradient ?? 0) + found[`${i}`]![place]! });
      }
  }
  return all;
};

test.each([
  ['snip', ({ value, gradient }: { value: number; gradient: number }) => Math.abs(value * gradient)],
  ['magnitude', ({ value }: { value: number }) => Math.abs(value)],
] as const)('%s keeps the best of all adapters', async (by, score) => {
  const scores = [...(await dense())].map(([name, of]) => ({ name, score: score(of) }));
  const best = scores.sort((a, b) => b.score - a.score).slice(0, Math.floor(0.25 * scores.length));
  const kept = await keptIn(await pruned({ by, sparsity: 0.75 }));
  expect(kept.sort()).toEqual(best.map(({ name }) => name).sort());
});

test('computes what the adapters do with zeros in their matrices', async () => {
  const own = await pruned({ sparsity: 0.5 });
  const kept = new Set(await keptIn(own));
  const { params } = attach(tinyLlama(), [bottleneckAdapter({ bottleneck: 3 })], { seed: 4 });
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, v] of params) {
    const stays = (place: number): boolean =>
      !name.endsWith('.weight') || kept.has(`${name.replace('.weight', '')} ${place}`);
    const data = Float32Array.from(await executor.read(v), (x, place) => (stays(place) ? x : 0));
    state.set(name, { shape: v.shape, data });
  }
  const other = attach(tinyLlama(), [bottleneckAdapter({ bottleneck: 3 })], { state });
  const ids = tokens([1, 5, 2, 9]);
  const { a, b } = await evaluate({ a: own.model.logits(ids), b: other.model.logits(ids) }, { executor });
  expect(distance(a!, b!)).toBeLessThan(1e-6);
});

test('by Erdős and Rényi smaller matrices keep more, some all', async () => {
  // (100 + 10) / 1000 and (10 + 10) / 100, times ε = 330 / (110 + 20)
  const some = erdosRenyi([[100, 10], [10, 10]], 0.3); // biome-ignore format: shapes
  expect(some[0]).toBeCloseTo((0.11 * 330) / 130, 12);
  expect(some[1]).toBeCloseTo((0.2 * 330) / 130, 12);
  // The second would keep more than it has.
  expect(erdosRenyi([[100, 10], [10, 10]], 0.8)).toEqual([expect.closeTo(0.78, 12), 1]); // biome-ignore format: shapes
  const kept = await keptIn(await pruned({ by: 'erdosRenyi', sparsity: 0.5 }));
  expect(kept).toHaveLength(8 * 12); // half of each of two matrices [3, 8] of four adapters
  expect(await keptIn(await pruned({ by: 'erdosRenyi', sparsity: 0.5, seed: 5 }))).not.toEqual(kept);
});

test('says what is missing', async () => {
  expect(() => attach(tinyLlama(), [sparseAdapter()])).toThrow('sparseAdapter: no weights are chosen yet');
  expect(() => attach(tinyLlama(), [sparseAdapter({ kept: { up: { places: [1], values: [2] } } })])).toThrow(
    'gets no adapter with up',
  );
  const message = await messageOf('bad-option', () => pruned({ init: 'mam' }));
  expect(message).toContain('snip cannot tell which to keep');
});
