import { describe, expect, it } from 'vitest';
import { evaluate } from '../compile.ts';
import { constant, type Tensor } from '../graph.ts';
import { reference } from '../reference/executor.ts';
import { type Shape, sizeOf } from '../shape.ts';
import { broadcastTo } from './broadcast-to.ts';
import { concat, concatAll } from './concat.ts';
import { gather } from './gather.ts';
import { pad } from './pad.ts';
import { reshape } from './reshape.ts';
import { scatterAdd } from './scatter-add.ts';
import { slice } from './slice.ts';
import { sliceUpdate } from './slice-update.ts';
import { transpose } from './transpose.ts';

/** 0, 1, 2, … in a shape. */
const count = (...shape: number[]): Tensor =>
  constant(
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => i),
    shape,
  );
const i32 = (values: readonly number[], shape: Shape = [values.length]): Tensor =>
  constant(Int32Array.from(values), shape);
const run = async (t: Tensor): Promise<number[]> => [...(await evaluate({ t }, { executor: reference() }))['t']!];

describe('shape ops', () => {
  it('reshape fills in −1', () => {
    expect(reshape(count(2, 6), [3, -1]).shape).toEqual([3, 4]);
    expect(() => reshape(count(2, 6), [5, -1])).toThrow(/reshape: got 2x6 f32/);
    expect(() => reshape(count(4), [-1, -1])).toThrow(/reshape/);
  });

  it('transpose', async () => {
    expect(await run(transpose(count(2, 3)))).toEqual([0, 3, 1, 4, 2, 5]);
    const y = transpose(count(2, 3, 4), [2, 0, 1]);
    expect(y.shape).toEqual([4, 2, 3]);
    expect((await run(y)).slice(0, 7)).toEqual([0, 4, 8, 12, 16, 20, 1]);
    expect(transpose(count(2, 3, 4)).shape).toEqual([2, 4, 3]);
    expect(() => transpose(count(2, 3), [0, 0])).toThrow(/each of the 2 axes once/);
    expect(() => transpose(count(3))).toThrow(/no two axes/);
  });

  it('a transpose that changes nothing is the tensor itself', () => {
    const x = count(2, 3);
    expect(transpose(x, [0, 1])).toBe(x);
    expect(transpose(x, [0, -1])).toBe(x);
  });

  it('broadcastTo', async () => {
    expect(await run(broadcastTo(count(2, 1), [2, 2]))).toEqual([0, 0, 1, 1]);
    expect(() => broadcastTo(count(2), [3])).toThrow(/broadcastTo/);
    expect(() => broadcastTo(count(2, 2), [2])).toThrow(/broadcastTo/);
  });

  it('concat and concatAll', async () => {
    const y = concat(count(2, 2), count(2, 1), { axis: -1 });
    expect(y.shape).toEqual([2, 3]);
    expect(await run(y)).toEqual([0, 1, 0, 2, 3, 1]);
    expect(await run(concatAll([count(1), count(2), count(0), count(3), count(1)], 0))).toEqual([0, 0, 1, 0, 1, 2, 0]);
    expect(() => concatAll([], 0)).toThrow(/at least one/);
    expect(() => concat(count(2, 2), count(3, 3), { axis: 0 })).toThrow(/all sizes but that of axis 0/);
    expect(() => concat(count(2), i32([1]), { axis: 0 })).toThrow(/concat: got 2 f32 and 1 i32/);
    expect(() => concat(count(2), count(), { axis: 0 })).toThrow(/concat/);
  });

  it('slice', async () => {
    expect(await run(slice(count(2, 4), { axis: 1, start: 1, end: 3 }))).toEqual([1, 2, 5, 6]);
    expect(() => slice(count(4), { axis: 0, start: 3, end: 5 })).toThrow(/\[3, 5\) must lie within \[0, 4\)/);
    expect(() => slice(count(4), { axis: 1, start: 0, end: 1 })).toThrow(/axis 1 must be in/);
  });

  it('pad', async () => {
    expect(await run(pad(count(2, 2), { axis: 1, before: 1, after: 0 }))).toEqual([0, 0, 1, 0, 2, 3]);
    expect(() => pad(count(2), { axis: 0, before: -1, after: 0 })).toThrow(/non-negative/);
  });

  it('sliceUpdate moves a start that would leave x', async () => {
    const value = constant(Float32Array.of(-1, -2), [2]);
    const at = (start: number): Promise<number[]> => run(sliceUpdate(count(4), value, i32([start], []), { axis: 0 }));
    expect(await at(1)).toEqual([0, -1, -2, 3]);
    expect(await at(9)).toEqual([0, 1, -1, -2]);
    expect(await at(-9)).toEqual([-1, -2, 2, 3]);
    expect(() => sliceUpdate(count(4), count(5), i32([0], []), { axis: 0 })).toThrow(/at most 4 along axis 0/);
    expect(() => sliceUpdate(count(4), count(1), i32([0]), { axis: 0 })).toThrow(/start must be a scalar/);
    expect(() => sliceUpdate(count(4), count(1), count(), { axis: 0 })).toThrow(/start is scalar f32, it takes i32/);
  });
});

describe('gather and scatterAdd', () => {
  it('gather takes rows, zeros for those that are not there', async () => {
    const y = gather(count(3, 2), i32([2, 0, 3, -1], [2, 2]));
    expect(y.shape).toEqual([2, 2, 2]);
    expect(await run(y)).toEqual([4, 5, 0, 1, 0, 0, 0, 0]);
    expect(() => gather(count(3, 2), count(2))).toThrow(/index is 2 f32, it takes i32/);
    expect(() => gather(count(), i32([0]))).toThrow(/at least one axis/);
  });

  it('scatterAdd sums rows, and drops those without a place', async () => {
    const y = scatterAdd(count(4, 2), i32([1, 1, 5, -1]), { rows: 3 });
    expect(y.shape).toEqual([3, 2]);
    expect(await run(y)).toEqual([0, 0, 2, 4, 0, 0]);
    expect(() => scatterAdd(count(4, 2), i32([1, 2]), { rows: 3 })).toThrow(/must begin with the index's/);
    expect(() => scatterAdd(count(1), i32([1]), { rows: -1 })).toThrow(/rows is -1/);
  });
});
