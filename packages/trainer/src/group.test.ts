import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attach } from '@peftjs/core';
import { batch, fromArray, pipe, repeat, shard, shuffle } from '@peftjs/data';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { type Executor, reference } from '@peftjs/tensor';
import { tinyBert, tinyLlama } from '@peftjs/testkit';
import { sequenceClassifier } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import {
  alone,
  evaluateModel,
  type Group,
  linear,
  type Outcomes,
  packTokens,
  type TrainOptions,
  type TrainResult,
  train,
} from './index.ts';
import { gatherJson } from './share.ts';

const rows = packTokens([Array.from({ length: 90 }, (_, i) => 1 + (2 ** (i % 10) % 11))], {
  context: 6,
  endOfText: 12,
});

/** Processes of one process: each call waits for those of all others. */
const groupOf = (size: number): readonly Group[] => {
  let waiting: { values: Float32Array; done(): void }[] = [];
  const meet = (values: Float32Array, rank: number, join: (all: readonly Float32Array[]) => void): Promise<void> =>
    new Promise((done) => {
      waiting[rank] = { values, done };
      if (Object.keys(waiting).length < size) return;
      const all = waiting;
      waiting = [];
      join(all.map((w) => w.values));
      for (const w of all) w.done();
    });
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    allReduce: (values) =>
      meet(values, rank, (all) => {
        const sum = all[0]!.map((__, i) => all.reduce((total, v) => total + v[i]!, 0));
        for (const v of all) v.set(sum);
      }),
    broadcast: (values, root) =>
      meet(values, rank, (all) => {
        for (const v of all) v.set(all[root]!);
      }),
  }));
};

const schedule = linear({ learningRate: 0.03, steps: 6, floor: 0.5 });

interface Ended {
  readonly weights: number[];
  readonly result: TrainResult;
}

const run = async (executor: Executor, more: Partial<TrainOptions>, seed = 0): Promise<Ended> => {
  const adapted = attach(tinyLlama(), [lora({ rank: 2, dropout: 0.1 })], { seed });
  const options: TrainOptions = { executor, data: rows, steps: 6, batchSize: 2, schedule, ...more };
  const result = await train(adapted, options);
  const weights: number[] = [];
  for (const p of adapted.params.values()) weights.push(...(await executor.read(p)));
  return { weights, result };
};

const farthest = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

describe.each<[string, () => Promise<Executor>]>([
  ['reference', async () => reference()],
  ['cpu', () => cpu({ threads: 1 })],
])('on %s', (_, open) => {
  test('two processes train as one that takes their batches, dropout and all', async () => {
    const held = { data: rows, every: 3 };
    const one = await run(await open(), { accumulate: 4, heldOut: held });
    const both = await Promise.all(
      // Their first values are those of process 0, whatever seed each has.
      groupOf(2).map(async (group, i) => run(await open(), { accumulate: 2, group, heldOut: held }, i)),
    );
    for (const { weights, result } of both) {
      expect(farthest(weights, one.weights)).toBeLessThan(1e-6);
      expect(result.losses.map((l) => l.loss)).toEqual(one.result.losses.map((l) => expect.closeTo(l.loss, 5)));
      expect(result.heldOut.map((l) => l.loss)).toEqual(one.result.heldOut.map((l) => expect.closeTo(l.loss, 5)));
    }
    expect(both[0]!.weights).toEqual(both[1]!.weights);
  });

  test('measure one evaluation, in the order of its data', async () => {
    const model = tinyBert({}, 0, sequenceClassifier({ labels: 3 }));
    const data = fromArray(
      Array.from({ length: 5 }, (_, b) => ({
        rows: 2,
        columns: {
          ids: Int32Array.from({ length: 8 }, (__, i) => 1 + ((b * 8 + i * 3) % 11)),
          labels: Int32Array.of(b % 3, 1),
        },
        shapes: { ids: [2, 4], labels: [2] },
      })),
    );
    const orders: unknown[] = [];
    const order = ({ wanted }: Outcomes): Record<string, number> => {
      orders.push(wanted);
      return {};
    };
    const of = (group: Group) =>
      evaluateModel(model, data, { executor: reference(), group, metrics: ['accuracy', 'mcc', order] });
    const whole = await of(alone);
    const shared = await Promise.all(groupOf(3).map(of));
    for (const found of shared) expect(found).toEqual({ ...whole, loss: expect.closeTo(whole.loss, 9) });
    expect(new Set(orders.map((wanted) => JSON.stringify(wanted))).size).toBe(1);
    const odd = await Promise.all(groupOf(2).map((group) => gatherJson(group.rank === 0 ? Number.NaN : 1, group)));
    expect(odd).toEqual([
      [Number.NaN, 1],
      [Number.NaN, 1],
    ]);
  });

  test('a group of one is a run', async () => {
    const [plain, grouped] = [await run(await open(), {}), await run(await open(), { group: alone })];
    expect(farthest(plain.weights, grouped.weights)).toBeLessThan(1e-6);
  });
});

describe('a group', () => {
  test('of streams takes a share each', async () => {
    const items = rows.rows.map((row) => ({ ids: row.slice(0, 6), labels: row.slice(1) }));
    const stream = (group: Group, size: number) =>
      pipe(fromArray(items), shuffle({ seed: 1 }), shard(group), repeat(), batch({ size }));
    const options = { batchSize: undefined } as unknown as Partial<TrainOptions>;
    const both = await Promise.all(
      groupOf(2).map((group) => run(reference(), { ...options, data: stream(group, 2), group })),
    );
    expect(both[0]!.weights).toEqual(both[1]!.weights);
    expect(both[0]!.result.losses.at(-1)!.loss).toBeLessThan(both[0]!.result.losses[0]!.loss);
  });

  test('stops together, and goes on from the checkpoint of the first', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'group-test-'));
    const whole = await run(reference(), { accumulate: 2 });
    const checkpoint = { file: join(dir, 'run.safetensors'), every: 100 };
    const part = (stopAt: number | null) => {
      const stop = new AbortController();
      return Promise.all(
        groupOf(2).map((group) =>
          run(reference(), {
            group,
            ...(group.rank === 0 && { checkpoint }),
            // The second one wants to stop; the first keeps the run.
            ...(group.rank === 1 && {
              signal: stop.signal,
              onStep: ({ step }: { step: number }) => step === stopAt && stop.abort(),
            }),
          }),
        ),
      );
    };
    const stopped = await part(2);
    expect(stopped.map((s) => s.result.losses.length)).toEqual([3, 3]);
    const [first, second] = await part(null);
    expect(first!.result.losses.map((l) => l.step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(second!.result.losses).toEqual(first!.result.losses);
    // The reference executor keeps double precision between steps, the file keeps f32.
    expect(farthest(first!.weights, whole.weights)).toBeLessThan(1e-5);
    await rm(dir, { recursive: true });
  });
});
