import { describe, expect, it } from 'vitest';
import { evaluate } from '../compile.ts';
import { constant, type Tensor } from '../graph.ts';
import { reference } from '../reference/executor.ts';
import { abs } from './abs.ts';
import { add } from './add.ts';
import { cast } from './cast.ts';
import { div } from './div.ts';
import { equal } from './equal.ts';
import { erf } from './erf.ts';
import { floor } from './floor.ts';
import { gelu } from './gelu.ts';
import { greater } from './greater.ts';
import { greaterEqual } from './greater-equal.ts';
import { less } from './less.ts';
import { lessEqual } from './less-equal.ts';
import { maximum } from './maximum.ts';
import { minimum } from './minimum.ts';
import { mul } from './mul.ts';
import { neg } from './neg.ts';
import { pow } from './pow.ts';
import { relu } from './relu.ts';
import { rsqrt } from './rsqrt.ts';
import { select } from './select.ts';
import { sigmoid } from './sigmoid.ts';
import { sign } from './sign.ts';
import { silu } from './silu.ts';
import { sub } from './sub.ts';
import { tanh } from './tanh.ts';

const f32 = (...values: number[]): Tensor => constant(Float32Array.from(values), [values.length]);
const i32 = (...values: number[]): Tensor => constant(Int32Array.from(values), [values.length]);
const u32 = (...values: number[]): Tensor => constant(Uint32Array.from(values), [values.length]);
const run = async (t: Tensor): Promise<number[]> => [...(await evaluate({ t }, { executor: reference() }))['t']!];
const close = async (t: Tensor, expected: readonly number[]): Promise<void> => {
  const got = await run(t);
  expect(got.length).toBe(expected.length);
  for (const [i, v] of expected.entries()) expect(got[i]).toBeCloseTo(v, 6);
};

describe('elementwise ops of one input', () => {
  it('erf, as tabulated', () =>
    close(erf(f32(0, 0.5, -1, 2, 3.5, 9)), [0, 0.5204998778, -0.8427007929, 0.995322265, 0.9999992569, 1]));
  it('gelu, exact and approximate', async () => {
    await close(gelu(f32(-1, 0, 1, 2)), [-0.1586552539, 0, 0.8413447461, 1.9544997361]);
    await close(gelu(f32(-1, 0, 1, 2), { approximate: 'tanh' }), [-0.1588080094, 0, 0.8411919906, 1.9545976941]);
  });
  it('sigmoid and silu, far out too', async () => {
    await close(sigmoid(f32(-200, 0, 1, 200)), [0, 0.5, 0.7310585786, 1]);
    await close(silu(f32(-200, 0, 1, 200)), [0, 0, 0.7310585786, 200]);
  });
  it('tanh, rsqrt, relu, floor', async () => {
    await close(tanh(f32(-50, 0.5, 50)), [-1, 0.4621171573, 1]);
    await close(rsqrt(f32(4, 0.25)), [0.5, 2]);
    expect(await run(relu(f32(-2, 3)))).toEqual([0, 3]);
    expect(await run(floor(f32(-1.5, 1.5)))).toEqual([-2, 1]);
  });
  it('sign, abs and neg take integers', async () => {
    expect(await run(sign(i32(-7, 0, 3)))).toEqual([-1, 0, 1]);
    expect(await run(abs(i32(-7, 3)))).toEqual([7, 3]);
    expect(await run(neg(i32(-(2 ** 31), 5)))).toEqual([-(2 ** 31), -5]);
  });
});

describe('elementwise ops of several inputs', () => {
  it('integers wrap to 32 bits', async () => {
    expect(await run(add(i32(2 ** 31 - 1), i32(1)))).toEqual([-(2 ** 31)]);
    expect(await run(sub(u32(0), u32(1)))).toEqual([2 ** 32 - 1]);
    expect(await run(mul(u32(0xffffffff), u32(0xfffffffb)))).toEqual([5]);
  });
  it('pow of negative bases and of zero', async () => {
    expect(await run(pow(f32(-2, -2, -2, 0, 0, 9), f32(3, 2, -1, 0, 2, 0.5)))).toEqual([-8, 4, -0.5, 1, 0, 3]);
  });
  it('comparisons give f32 of any dtype', async () => {
    const [a, b] = [i32(1, 2, 3), i32(2, 2, 2)];
    expect(equal(a, b).dtype).toBe('f32');
    expect(await run(equal(a, b))).toEqual([0, 1, 0]);
    expect(await run(less(a, b))).toEqual([1, 0, 0]);
    expect(await run(lessEqual(a, b))).toEqual([1, 1, 0]);
    expect(await run(greater(a, b))).toEqual([0, 0, 1]);
    expect(await run(greaterEqual(a, b))).toEqual([0, 1, 1]);
  });
  it('maximum, minimum, div and select broadcast', async () => {
    const column = constant(Float32Array.of(1, 4), [2, 1]);
    expect(await run(maximum(column, f32(2, 5)))).toEqual([2, 5, 4, 5]);
    expect(await run(minimum(column, f32(2, 5)))).toEqual([1, 1, 2, 4]);
    expect(await run(div(column, f32(2, 4)))).toEqual([0.5, 0.25, 2, 1]);
    expect(await run(select(f32(0, 2), column, -1))).toEqual([-1, 1, -1, 4]);
  });
  it('other dtypes and shapes are named', () => {
    expect(() => add(f32(1), i32(1))).toThrow(/add: got 1 f32 and 1 i32; cast/);
    expect(() => div(i32(1), i32(1))).toThrow(/div: a is 1 i32, it takes f32; cast/);
    expect(() => neg(u32(1))).toThrow(/neg: x is 1 u32, it takes f32 or i32/);
    expect(() => lessEqual(f32(1, 2), f32(1, 2, 3))).toThrow(/lessEqual: got 2 f32, 3 f32; sizes must be equal or 1/);
    expect(() => select(f32(1), f32(1), i32(1))).toThrow(/select: got 1 f32 and 1 i32/);
  });
});

describe('cast', () => {
  it('truncates towards zero', async () =>
    expect(await run(cast(f32(-1.9, -0.5, 1.9), { dtype: 'i32' }))).toEqual([-1, 0, 1]));
  it('keeps the bits of integers', async () => {
    expect(await run(cast(i32(-1), { dtype: 'u32' }))).toEqual([2 ** 32 - 1]);
    expect(await run(cast(u32(2 ** 32 - 2), { dtype: 'i32' }))).toEqual([-2]);
  });
  it('rounds to half precision and back', async () => {
    expect(await run(cast(f32(1, -2, 65504), { dtype: 'f16' }))).toEqual([0x3c00, 0xc000, 0x7bff]);
    expect(await run(cast(cast(f32(1 / 3), { dtype: 'f16' }), { dtype: 'f32' }))).toEqual([0.333251953125]);
  });
  it('of the same dtype is the tensor itself', () => {
    const x = f32(1);
    expect(cast(x, { dtype: 'f32' })).toBe(x);
  });
});
