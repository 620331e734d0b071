import { attach } from '@peftjs/core';
import { lora } from '@peftjs/lora';
import { cpu } from '@peftjs/onnx';
import { type Executor, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { largestBatch } from './index.ts';

describe('the largest batch', () => {
  let executor: Executor;
  let compiled = 0;
  beforeAll(async () => {
    const inner = await cpu();
    const compile: Executor['compile'] = (program) => {
      compiled++;
      return inner.compile(program);
    };
    executor = { ...inner, compile };
  });
  afterAll(() => executor.close());
  const target = () => attach(tinyLlama(), [lora({ rank: 2 })]);
  const of = (more: object) => largestBatch(target(), { executor, columns: 8, ...more });

  test('fits, and one row more does not; a few compilations find it', async () => {
    const { peakBytes: one } = await of({ limit: 1e9, most: 1 });
    const limit = 6 * one;
    compiled = 0;
    const { batchSize, peakBytes, limit: given } = await of({ limit });
    expect(given).toBe(limit);
    expect(batchSize).toBeGreaterThan(5);
    expect(peakBytes).toBeLessThanOrEqual(limit);
    expect(compiled).toBeLessThan(10);
    const more = await of({ limit: 1e9, most: batchSize + 1 });
    expect(more.batchSize).toBe(batchSize + 1);
    expect(more.peakBytes).toBeGreaterThan(limit);
    const leaner = await of({ limit, recompute: true });
    expect(leaner.batchSize).toBeGreaterThanOrEqual(batchSize);
    const peaks: number[] = [];
    for (const recompute of [false, 1, 2, true]) peaks.push((await of({ limit: 1e9, most: 64, recompute })).peakBytes);
    expect(peaks.toSorted((a, b) => b - a)).toEqual(peaks);
    expect(peaks[3]).toBe(peaks[2]);
    expect(peaks[1]).toBeLessThan(peaks[0]!);
  });

  test('is found for what the system has left, and of columns of any kind', async () => {
    const shape = (rows: number) => ({ shape: [rows, 4], dtype: 'i32' as const });
    const { batchSize, limit } = await of({
      most: 3,
      columns: (rows: number) => ({ ids: shape(rows), labels: shape(rows) }),
    });
    expect(batchSize).toBe(3);
    expect(limit).toBeGreaterThan(2 ** 20);
  });

  test('is refused where one row is too much, or nothing is known', async () => {
    await expect(of({ limit: 1000 })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(/a step of one row takes .* MiB, there are 0 MiB; shorten the rows/),
    });
    await expect(of({ executor: reference() })).rejects.toThrow('limit is missing, and reference doesn');
    await expect(of({ executor: reference(), limit: 1e9 })).rejects.toThrow('reference plans no memory');
    await expect(of({ columns: 0 })).rejects.toThrow('columns must be a number of tokens or a function, got 0');
  });
});
