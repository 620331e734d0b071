import {
  adamwStep,
  add,
  broadcastTo,
  compile,
  constant,
  type Executor,
  input,
  mul,
  reshape,
  sliceUpdate,
  softmax,
  sub,
  sum,
  type Tensor,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }), { poison: true });
});
afterAll(() => executor.close());

const vector = (name: string, ...values: number[]): Variable =>
  variable(name, [values.length], Float32Array.from(values));
const valuesOf = async (v: Variable): Promise<number[]> => Array.from(await executor.read(v));

/** Compiles and runs once; gives the results as plain numbers, and the plan. */
const step = async (
  updates: readonly (readonly [Variable, Tensor])[],
  outputs: Readonly<Record<string, Tensor>> = {},
  feeds = {},
) => {
  const executable = await compile({ updates, outputs }, { executor });
  const results = await executable.run(feeds);
  executable.close();
  return {
    plan: executable.plan,
    results: Object.fromEntries(Object.entries(results).map(([name, data]) => [name, Array.from(data)])),
  };
};

describe('updates', () => {
  test('an elementwise update writes the variable in place: one kernel, no memory of its own', async () => {
    const w = vector('w', 1, 2, 3, 4, 5);
    const { plan } = await step([[w, sub(w, mul(w, 0.5))]]);
    expect(await valuesOf(w)).toEqual([0.5, 1, 1.5, 2, 2.5]);
    expect(plan.dispatches).toBe(1);
    // The variable's 32 bytes and the parameters, no planned buffer.
    expect(plan.peakBytes).toBeLessThanOrEqual(32 + 256);
  });

  test('AdamW writes weights and moments in place; a cache is written where it changes', async () => {
    const [w, m, v, cache] = [
      vector('w', 1, 2),
      vector('m', 0, 0),
      vector('v', 0, 0),
      variable('cache', [1, 3, 2], new Float32Array(6)),
    ];
    const hyper = constant(Float32Array.of(0.5, 0, 0, 0, 0, 1, 1, 1), [8]);
    const [w1, m1, v1] = adamwStep(w, mul(w, 2), m, v, hyper);
    const grown = sliceUpdate(cache, constant(Float32Array.of(7, 8), [1, 1, 2]), constant(Int32Array.of(1), []), {
      axis: 1,
    });
    const { plan, results } = await step(
      [
        [w, w1],
        [m, m1],
        [v, v1],
        [cache, grown],
      ],
      { grown },
    );
    expect(await Promise.all([w, m, v, cache].map(valuesOf))).toEqual([
      [0.5, 1.5],
      [2, 4],
      [4, 16],
      [0, 0, 7, 8, 0, 0],
    ]);
    expect(results['grown']).toEqual([0, 0, 7, 8, 0, 0]);
    expect(plan.dispatches).toBe(3);
    // Four variables, three constants, the gradient, and the parameters of three kernels: no second copy of anything.
    expect(plan.peakBytes).toBe(3 * 16 + 32 + (32 + 16 + 16) + 16 + 3 * 256);
  });

  test('a slice is written over a copy where the old cache is still needed', async () => {
    const cache = vector('cache', 1, 2, 3);
    const grown = sliceUpdate(cache, constant(Float32Array.of(9), [1]), constant(Int32Array.of(0), []), { axis: 0 });
    const { results } = await step([[cache, grown]], { late: add(mul(grown, 10), cache), before: cache });
    expect(results).toEqual({ late: [91, 22, 33], before: [1, 2, 3] });
    expect(await valuesOf(cache)).toEqual([9, 2, 3]);
  });

  test('several read the old values', async () => {
    const [a, b] = [vector('a', 1, 2), vector('b', 10, 20)];
    await step([
      [a, add(a, b)],
      [b, sub(a, b)],
    ]);
    expect(await valuesOf(a)).toEqual([11, 22]);
    expect(await valuesOf(b)).toEqual([-9, -18]);
  });

  test('variables are exchanged, and passed on in a ring', async () => {
    const [a, b, c] = [vector('a', 1), vector('b', 2), vector('c', 3)];
    await step([
      [a, b],
      [b, a],
    ]);
    expect([await valuesOf(a), await valuesOf(b)]).toEqual([[2], [1]]);
    await step([
      [a, b],
      [b, c],
      [c, reshape(a, [1])],
    ]);
    expect([await valuesOf(a), await valuesOf(b), await valuesOf(c)]).toEqual([[1], [3], [2]]);
  });

  test('a result may be the old value, another the new one', async () => {
    const w = vector('w', 1, 2);
    const next = mul(w, 3);
    const { results } = await step([[w, next]], { before: w, after: next, again: reshape(w, [2, 1]) });
    expect(results).toEqual({ before: [1, 2], after: [3, 6], again: [1, 2] });
    expect(await valuesOf(w)).toEqual([3, 6]);
  });

  test('a value read by later kernels, and as a whole row by its own, is not overwritten early', async () => {
    const w = vector('w', 1, 2, 3);
    const next = add(mul(w, 2), sum(w, { keepDims: true }));
    const { results } = await step([[w, next]], { late: softmax(add(softmax(next), w)) });
    expect(await valuesOf(w)).toEqual([8, 10, 12]);
    expect(results['late']!.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
  });

  test('one value for two variables; a constant; an input; itself', async () => {
    const [a, b, c, d, e] = [
      vector('a', 1, 1),
      vector('b', 2, 2),
      vector('c', 3, 3),
      vector('d', 4, 4),
      vector('e', 5, 6),
    ];
    const x = input('x', [2]);
    const shared = mul(x, 2);
    await step(
      [
        [a, shared],
        [b, shared],
        [c, constant(Float32Array.of(7, 8), [2])],
        [d, x],
        [e, e],
      ],
      {},
      { x: Float32Array.of(1, 2) },
    );
    expect(await Promise.all([a, b, c, d, e].map(valuesOf))).toEqual([
      [2, 4],
      [2, 4],
      [7, 8],
      [1, 2],
      [5, 6],
    ]);
  });

  test('a step runs again and again on what it wrote', async () => {
    const count = vector('count', 0);
    const executable = await compile({ updates: [[count, add(count, 1)]] }, { executor });
    for (let i = 0; i < 25; i++) expect(await executable.run()).toEqual({});
    expect(await valuesOf(count)).toEqual([25]);
    executable.close();
  });
});

describe('variables', () => {
  test('start from data, from a function, from a graph over other variables', async () => {
    const base = vector('base', 1, 2, 3);
    const lazy = variable('lazy', [3], async () => Float32Array.of(4, 5, 6));
    const made = variable('made', [2, 3], broadcastTo(add(base, lazy), [2, 3]));
    const copied = variable('copied', [3, 2], reshape(made, [3, 2]));
    expect(await valuesOf(copied)).toEqual([5, 7, 9, 5, 7, 9]);
    const { results } = await step([[base, mul(base, 0)]], { made, lazy });
    expect(results).toEqual({ made: [5, 7, 9, 5, 7, 9], lazy: [4, 5, 6] });
  });

  test('are written and read with their dtype, odd sizes too', async () => {
    const half = variable('half', [3], Uint16Array.of(0x3c00, 0x4000, 0x4200), 'f16');
    expect(await executor.read(half)).toEqual(Uint16Array.of(0x3c00, 0x4000, 0x4200));
    await executor.write(half, Uint16Array.of(1, 2, 3));
    expect(await executor.read(half)).toEqual(Uint16Array.of(1, 2, 3));
    const whole = variable('whole', [2], Int32Array.of(-1, 2), 'i32');
    expect(await executor.read(whole)).toEqual(Int32Array.of(-1, 2));
    await expect(executor.write(whole, new Float32Array(2))).rejects.toMatchObject({ code: 'bad-feed' });
  });

  test('are shared by programs, and start anew once released, also for programs compiled before', async () => {
    const w = vector('w', 1, 2);
    const grow = await compile({ updates: [[w, mul(w, 10)]] }, { executor });
    const show = await compile({ outputs: { w } }, { executor });
    await grow.run();
    expect((await show.run())['w']).toEqual(Float32Array.of(10, 20));
    const { now } = executor.memory();
    executor.release([w]);
    expect(executor.memory().now).toBe(now - 16);
    await grow.run();
    await executor.write(w, Float32Array.of(3, 4));
    await grow.run();
    expect((await show.run())['w']).toEqual(Float32Array.of(30, 40));
    executor.release([w]);
    expect((await show.run())['w']).toEqual(Float32Array.of(1, 2));
  });

  test('keep no storage when their first value cannot be made', async () => {
    const { now } = executor.memory();
    const broken = variable('broken', [4], () => {
      throw new Error('no such file');
    });
    const wrong = variable('wrong', [4], () => new Float32Array(3));
    const made = variable('made', [4], mul(broken, 2));
    for (const v of [broken, made]) await expect(executor.read(v)).rejects.toThrow('no such file');
    await expect(executor.read(wrong)).rejects.toMatchObject({ code: 'bad-shape' });
    expect(executor.memory().now).toBe(now);
  });
});
