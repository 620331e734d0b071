import { describe, expect, it } from 'vitest';
import { evaluate } from '../compile.ts';
import { constant, type Tensor } from '../graph.ts';
import { reference } from '../reference/executor.ts';
import { sizeOf } from '../shape.ts';
import { argmax } from './argmax.ts';
import { max } from './max.ts';
import { mean } from './mean.ts';
import { sum } from './sum.ts';
import { topK } from './top-k.ts';

const count = (...shape: number[]): Tensor =>
  constant(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => i),
    shape,
  );
const f32 = (...values: number[]): Tensor => constant(Float32Array.from(values), [values.length]);
const run = async (t: Tensor): Promise<number[]> => [...(await evaluate({ t }, { executor: reference() }))['t']!];

describe('reductions', () => {
  it('over all axes by default, to a scalar', async () => {
    expect(sum(count(2, 3)).shape).toEqual([]);
    expect(await run(sum(count(2, 3)))).toEqual([15]);
    expect(await run(mean(count(2, 3)))).toEqual([2.5]);
    expect(await run(max(count(2, 3)))).toEqual([5]);
  });

  it('over chosen axes, which go or stay', async () => {
    expect(await run(sum(count(2, 3, 2), { axes: [0, 2] }))).toEqual([14, 22, 30]);
    expect(sum(count(2, 3, 2), { axes: [0, 2] }).shape).toEqual([3]);
    expect(sum(count(2, 3, 2), { axes: [-1, 0], keepDims: true }).shape).toEqual([1, 3, 1]);
    expect(await run(max(constant(Float32Array.of(-3, -1, -5, -2), [2, 2]), { axes: [0] }))).toEqual([-3, -1]);
  });

  it('over no axis change nothing', () => {
    const x = count(2);
    expect(sum(x, { axes: [] })).toBe(x);
  });

  it('of nothing: a sum is 0, the others refuse', async () => {
    expect(await run(sum(count(0, 2), { axes: [0] }))).toEqual([0, 0]);
    expect(() => mean(count(0, 2), { axes: [0] })).toThrow(/mean: got 0x2 f32; there is no value along axes \[0\]/);
    expect(() => max(count(0, 2), { axes: [0] })).toThrow(/max: /);
    expect(() => sum(count(2), { axes: [1] })).toThrow(/axis 1 must be in/);
    expect(() => mean(constant(Int32Array.of(1), [1]))).toThrow(/mean: x is 1 i32/);
  });
});

describe('ranking', () => {
  it('argmax takes the first of equal ones', async () => {
    expect(await run(argmax(f32(1, 3, 3, 2), { axis: 0 }))).toEqual([1]);
    const y = argmax(count(2, 3), { axis: 0 });
    expect(y.dtype).toBe('i32');
    expect(await run(y)).toEqual([1, 1, 1]);
    expect(() => argmax(count(2, 0), { axis: 1 })).toThrow(/no value along axis 1/);
  });

  it('topK, largest first, the earlier of equal ones first', async () => {
    const [values, indices] = topK(constant(Float32Array.of(1, 4, 4, 2, -1, -3, -2, -1), [2, 4]), { k: 3 });
    expect(await run(values)).toEqual([4, 4, 2, -1, -1, -2]);
    expect(await run(indices)).toEqual([1, 2, 3, 0, 3, 2]);
    expect(() => topK(f32(1, 2), { k: 3 })).toThrow(/k is 3, it must be in \[1, 2\]/);
  });
});
