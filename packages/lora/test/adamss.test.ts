import { attach, load, makeBetween, save } from '@peftjs/core';
import { memoryFiles, readAdapter, writeAdapter } from '@peftjs/io';
import { constant, evaluate, randomSource, reference, type Tensor } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { denseLinear } from '@peftjs/transformer';
import { describe, expect, test } from 'vitest';
import { openAt } from '../src/adamss/allocation.ts';
import { kMeans } from '../src/adamss/k-means.ts';
import { subspacesOf } from '../src/adamss/subspaces.ts';
import { adamss } from '../src/index.ts';

const executor = reference();
const compute = async (y: Tensor) => (await evaluate({ y }, { executor }))['y']!;

describe('adamss', () => {
  test('finds clusters that lie apart, whatever the seed, and leaves none empty', () => {
    const points = [0, 9, 0.1, 9.1, -0.1, 8.9].map((x) => [x, -x]);
    for (const seed of [1, 2, 3, 4]) {
      const of = kMeans(points, 2, randomSource(seed, 'test'));
      expect(of.map((label) => Number(label !== of[0]))).toEqual([0, 1, 0, 1, 0, 1]);
    }
    const same = Array.from({ length: 4 }, () => [1, 1]);
    expect(kMeans(same, 3, randomSource(1, 'test')).toSorted()).toEqual([0, 0, 1, 2]);
  });

  test('puts outputs whose rows are alike in one subspace, with the directions of its rows', async () => {
    const rows = [0, 1, 0, 1, 0, 1, 0, 1].map((k, i) => (k ? [0, 0, 1 + i / 8, 2] : [3, 1 + i / 8, 0, 0]));
    const layer = denseLinear({ weight: constant(Float32Array.from(rows.flat()), [8, 4]), bias: null });
    const sizes = { directions: 2, subspaces: 2, rank: 2, threshold: 0.5 };
    const { clusters, a, directions, biasDirections } = await subspacesOf(layer, 'layer', sizes, 0, compute);
    expect(clusters.map((c) => Number(c !== clusters[0]))).toEqual(Int32Array.of(0, 1, 0, 1, 0, 1, 0, 1));
    expect([...biasDirections]).toEqual([0, 0]);
    for (const k of [0, 1]) {
      const [first, second] = [a.slice(4 * k, 4 * k + 2), a.slice(4 * k + 2, 4 * k + 4)];
      expect(Math.hypot(...first)).toBeCloseTo(1, 5);
      expect([...second]).toEqual([0, 0]); // below the threshold
      // Aₖ·V lies along the rows of its own cluster: the first two inputs, or the last two.
      const along = [0, 1, 2, 3].map((i) => first[0]! * directions[i]! + first[1]! * directions[4 + i]!);
      const others = clusters[0] === k ? along.slice(2) : along.slice(0, 2);
      expect(Math.hypot(...others)).toBeLessThan(1e-5);
    }
  });

  test('lets the number of subspaces fall by a power, and decides at every interval', () => {
    const options = { active: 8, warmup: 10, final: 30, interval: 5, exponent: 3, beta1: 0.85, beta2: 0.85 };
    expect([0, 10, 20, 30, 99].map((t) => openAt(40, options, t))).toEqual([40, 40, 12, 8, 8]);
    const { decision } = attach(tinyLlama(), [adamss({ ...options, directions: 4, subspaces: 2 })]);
    const due = Array.from({ length: 40 }, (_, i) => i + 1).filter((step) => decision!.due(step));
    expect(due).toEqual([11, 16, 21, 26, 31]);
  });

  test('keeps as many subspaces as it is told, those with the largest scores, and opens none again', async () => {
    const method = adamss({ directions: 4, subspaces: 3, active: 2, warmup: 0, final: 2, interval: 1 });
    const adapted = attach(tinyLlama(), [method]);
    const scores = [...adapted.running].filter(([name]) => name.endsWith('adamss_score'));
    const between = makeBetween({ executor, params: [], state: new Map(), rewarm: () => {} });
    const open = async (): Promise<number[]> =>
      (
        await Promise.all(scores.map(([name]) => executor.read(adapted.running.get(name.replace('score', 'open'))!)))
      ).flatMap((one) => Array.from(one));
    const tell = async (sign: number): Promise<void> => {
      for (const [i, [, score]] of scores.entries())
        await executor.write(score, Float32Array.of(sign * (3 * i + 1), sign * (3 * i + 2), sign * (3 * i + 3)));
    };
    await tell(1);
    await adapted.decision!.run(3, between);
    const kept = await open();
    expect(kept.length).toBe(3 * scores.length);
    expect(kept.map((one, i) => (one ? i : -1)).filter((i) => i >= 0)).toEqual([kept.length - 2, kept.length - 1]);
    await tell(-1);
    await adapted.decision!.run(3, between);
    expect(await open()).toEqual(kept);
  });

  test('refuses a file with an output in no subspace, and layers that are too small', async () => {
    const base = tinyLlama();
    const files = memoryFiles();
    await save(attach(base, [adamss({ directions: 4, subspaces: 2 })]), files, { executor });
    const { config, tensors } = await readAdapter(files);
    const [name, tensor] = [...tensors].find(([key]) => key.endsWith('adamss_clusters'))!;
    const odd = Int32Array.from(tensor.data as Int32Array);
    odd[1] = 2;
    const changed = new Map(
      [...tensors].map(([key, { shape, data }]) => [key, { shape, data: key === name ? odd : data }]),
    );
    await writeAdapter(files, config.raw, changed);
    await expect(load(base, files, [adamss])).rejects.toThrow(
      /adamss_clusters must hold numbers from 0 to 1, .* got 2/,
    );
    expect(() => attach(base, [adamss({ subspaces: 1000 })])).toThrow(/1000 subspaces of rank 1 are more than its/);
  });
});
