import { attach, type Objective, rDrop } from '@peftjs/core';
import { type Batch, ignored } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import { type Executor, mul, reference } from '@peftjs/tensor';
import { openExecutors, shake, tinyLlama } from '@peftjs/testkit';
import { describe, expect, test } from 'vitest';
import { adamw, chain, clip, makeTrainStep, type Trainable, type TrainStepOptions } from './index.ts';

/** Rows of ids, each with so many labelled positions; shorter rows are padded. */
const batchOf = (
  rows: readonly (readonly [length: number, labelled: number])[],
  first: number,
  context: number,
): Batch => {
  const ids = new Int32Array(rows.length * context);
  const labels = new Int32Array(rows.length * context).fill(ignored);
  for (const [r, [length, labelled]] of rows.entries())
    for (let t = 0; t < length; t++) {
      ids[r * context + t] = ((first + r) * 5 + t * 3) % 13;
      if (t < labelled) labels[r * context + t] = ((first + r) * 7 + t) % 13;
    }
  const shape = [rows.length, context];
  return { rows: rows.length, columns: { ids, labels }, shapes: { ids: shape, labels: shape } };
};

const rows = [
  [6, 6],
  [6, 1],
  [3, 3],
  [5, 2],
] as const;
const whole = batchOf(rows, 0, 6);
/** The same rows in batches of unlike numbers of rows, of labels and of padding. */
const parts: Readonly<Record<string, readonly Batch[]>> = {
  'unlike numbers of labels': [batchOf(rows.slice(0, 2), 0, 6), batchOf(rows.slice(2), 2, 6)],
  'unlike numbers of rows': [batchOf(rows.slice(0, 1), 0, 6), batchOf(rows.slice(1), 1, 6)],
  'padding of other lengths': [batchOf(rows.slice(0, 2), 0, 6), batchOf(rows.slice(2), 2, 5)],
  'a batch without a label': [whole, batchOf([[6, 0]], 1, 6)],
};

const target = async (executor: Executor): Promise<Trainable> => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2, target: 'all-linear' })]);
  await shake(adapted.params, { executor });
  return adapted;
};

/** A software GPU computes in f32 throughout, and has other bits for rows that lie elsewhere. */
const limit = ({ name }: Executor): number => (name === 'webgpu' ? 5e-6 : 1e-6);

/** Weights and reports after three steps; `batches` by step. */
const follow = async (executor: Executor, batches: readonly Batch[], more: Partial<TrainStepOptions>) => {
  const trained = await target(executor);
  const optimizer = chain(clip(1), adamw({ eps: 1e-3 }));
  const step = await makeTrainStep(trained, { executor, optimizer, ...more });
  for (let i = 0; i < 3; i++) await step.run(i, 0.02, batches);
  const reports = await step.results();
  const weights = new Map<string, number[]>();
  for (const [name, p] of trained.params) weights.set(name, [...(await executor.read(p))]);
  step.close();
  return { reports, weights };
};

const farthest = (a: ReadonlyMap<string, number[]>, b: ReadonlyMap<string, number[]>): number =>
  Math.max(...[...a].flatMap(([name, values]) => values.map((x, i) => Math.abs(x - b.get(name)![i]!))));

describe.each<[string, () => Promise<Executor>]>([['reference', async () => reference()], ...openExecutors()])(
  'on %s micro-batches',
  (_, open) => {
    test.each(Object.entries(parts))('are one large batch: %s', async (__, batches) => {
      const executor = await open();
      const [one, many] = [await follow(executor, [whole], {}), await follow(executor, batches, { gathers: true })];
      for (const [i, { loss, gradNorm, finite }] of many.reports.entries()) {
        expect(finite).toBe(true);
        expect(Math.abs(loss - one.reports[i]!.loss) / one.reports[i]!.loss).toBeLessThan(limit(executor));
        expect(Math.abs(gradNorm - one.reports[i]!.gradNorm) / one.reports[i]!.gradNorm).toBeLessThan(
          2 * limit(executor),
        );
      }
      expect(farthest(one.weights, many.weights)).toBeLessThan(limit(executor));
    });

    test('gather the gradients of one large batch', async () => {
      const executor = await open();
      const gathered = async (batches: readonly Batch[]): Promise<number[]> => {
        const optimizer = adamw();
        const step = await makeTrainStep(await target(executor), { executor, optimizer, gathers: true });
        for (const [i, batch] of batches.entries()) await step.collect(batch, i);
        const values: number[] = [];
        for (const v of step.gathered) values.push(...(await executor.read(v)));
        step.close();
        return values;
      };
      const wanted = await gathered([whole]);
      const largest = Math.max(...wanted.slice(0, -2).map(Math.abs));
      expect(wanted.at(-1)).toBe(12);
      expect(largest).toBeGreaterThan(0.1);
      for (const batches of Object.values(parts)) {
        const found = await gathered(batches);
        expect(found.at(-1)).toBe(12);
        expect(Math.max(...found.map((x, i) => Math.abs(x - wanted[i]!)))).toBeLessThan(12 * limit(executor));
      }
    });
  },
);

describe('a step', () => {
  test('takes an objective: two draws of R-Drop without dropout are twice the loss', async () => {
    const executor = reference();
    const plain = await follow(executor, [whole], {});
    const twice = await follow(executor, [whole], { objective: rDrop() });
    expect(twice.reports[0]!.loss).toBeCloseTo(2 * plain.reports[0]!.loss, 5);
    const gathered = await follow(executor, parts['unlike numbers of rows']!, { objective: rDrop(), gathers: true });
    expect(gathered.reports[0]!.loss).toBeCloseTo(twice.reports[0]!.loss, 5);
    expect(farthest(gathered.weights, twice.weights)).toBeLessThan(1e-6);
  });

  test('compiles for every shape that comes, with one state of the optimiser', async () => {
    const executor = reference();
    const trained = await target(executor);
    const step = await makeTrainStep(trained, { executor, optimizer: adamw() });
    const kept = [...step.state.values()].flat().length;
    expect(kept).toBe(2 * trained.params.size);
    const lengths = [6, 5, 6, 4, 3, 2, 7, 8, 9, 10, 6];
    for (const [i, length] of lengths.entries()) await step.run(i, 0, [batchOf([[length, length]], i, length)]);
    const reports = await step.results();
    expect(reports.length).toBe(lengths.length);
    expect([...step.state.values()].flat().length).toBe(kept);
    // In the order of the steps: each has the loss that it has alone.
    for (const [i, length] of lengths.entries()) {
      await step.run(i, 0, [batchOf([[length, length]], i, length)]);
      expect((await step.results())[0]!.loss).toBeCloseTo(reports[i]!.loss, 6);
    }
    step.close();
  });

  test('divides by weights below 1 too', async () => {
    const executor = reference();
    const plain = await follow(executor, [whole], {});
    /** The same mean, of a hundredth of the weight. */
    const lighter: Objective = (views, inputs) => {
      const { sum, weight } = views.train().loss(inputs);
      return { sum: mul(sum, 0.01), weight: mul(weight, 0.01) };
    };
    for (const gathers of [false, true]) {
      const { reports, weights } = await follow(executor, [whole], { objective: lighter, gathers });
      expect(reports[0]!.loss).toBeCloseTo(plain.reports[0]!.loss, 5);
      expect(farthest(weights, plain.weights)).toBeLessThan(1e-6);
    }
  });

  test('that is one batch takes no second one, nor none', async () => {
    const executor = reference();
    const step = await makeTrainStep(await target(executor), { executor, optimizer: adamw() });
    await expect(step.apply(0, 0.1)).rejects.toThrow('nothing was collected');
    await step.collect(whole, 0);
    await expect(step.collect(whole, 1)).rejects.toThrow('gathers: true');
    step.close();
  });
});
