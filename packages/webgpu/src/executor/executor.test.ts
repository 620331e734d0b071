import {
  adamwStep,
  add,
  compile,
  constant,
  type Executor,
  evaluate,
  gather,
  input,
  matmul,
  mul,
  reshape,
  silu,
  sum,
  tanh,
  variable,
} from '@peftjs/tensor';
import { defineOp } from '@peftjs/tensor/op';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import type { KernelPlan } from '../kernel.ts';
import { withKernel } from '../kernel-of.ts';
import { executorOn } from './executor.ts';

let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }));
});
afterAll(() => executor.close());

describe('runs', () => {
  test('read what is named, in one submit, and nothing else', async () => {
    const x = input('x', [3]);
    const executable = await compile(
      { outputs: { twice: mul(x, 2), empty: input('none', [0, 4]), x, k: constant(Int32Array.of(1, 2), [2]) } },
      { executor },
    );
    const feeds = { x: Float32Array.of(1, 2, 3), none: new Float32Array(0) };
    expect(await executable.run(feeds)).toEqual({
      twice: Float32Array.of(2, 4, 6),
      empty: new Float32Array(0),
      x: feeds.x,
      k: Int32Array.of(1, 2),
    });
    expect(await executable.run(feeds, { read: ['twice'] })).toEqual({ twice: Float32Array.of(2, 4, 6) });
    expect(await executable.run(feeds, { read: [] })).toEqual({});
    await expect(executable.run(feeds, { read: ['thrice'] })).rejects.toMatchObject({
      code: 'bad-option',
      message: expect.stringContaining('twice, empty, x, k'),
    });
    await expect(executable.run({ x: feeds.x })).rejects.toMatchObject({ code: 'bad-feed' });
    executable.close();
    await expect(executable.run(feeds)).rejects.toMatchObject({ code: 'bad-program' });
  });

  test('do not mix when started together', async () => {
    const x = input('x', [1]);
    const executable = await compile({ outputs: { y: mul(x, 10) } }, { executor });
    const results = await Promise.all([1, 2, 3, 4].map((v) => executable.run({ x: Float32Array.of(v) })));
    expect(results.map(({ y }) => y![0])).toEqual([10, 20, 30, 40]);
    executable.close();
  });

  test('take half words: odd numbers of f16', async () => {
    const x = input('x', [3], 'f16');
    const { x: got } = await evaluate({ x }, { executor, feeds: { x: Uint16Array.of(1, 2, 3) } });
    expect(got).toEqual(Uint16Array.of(1, 2, 3));
  });

  test('more than 65,535 workgroups are folded, and every element is computed once', async () => {
    const size = 65_536 * 64 + 77;
    const count = variable('count', [size], new Float32Array(size));
    const x = input('x', [size]);
    const executable = await compile(
      { outputs: { total: sum(mul(x, 2)) }, updates: [[count, add(count, x)]] },
      { executor },
    );
    const ones = new Float32Array(size).fill(1);
    ones[size - 1] = 5;
    expect((await executable.run({ x: ones }))['total']![0]).toBe(2 * (size + 4));
    const counts = await executor.read(count);
    expect(counts.every((v, i) => v === ones[i])).toBe(true);
    executable.close();
    executor.release([count]);
  });
});

describe('plans', () => {
  test('elementwise chains are one kernel, views are none, products are their own', async () => {
    const [x, w] = [input('x', [4, 8]), input('w', [8, 8])];
    const hidden = tanh(add(mul(silu(x), 2), 1));
    const executable = await compile(
      { outputs: { y: reshape(matmul(hidden, w), [32]), z: mul(hidden, hidden) } },
      { executor },
    );
    expect(executable.plan.dispatches).toBe(2);
    expect(executable.plan.flops).toBe(32 * (4 + 1 + 1 + 4 + 1) + 2 * 4 * 8 * 8);
    executable.close();
  });

  test('memory is shared by what is never alive together', async () => {
    const width = 256;
    let y = input('x', [width, width]);
    for (let i = 0; i < 12; i++) y = matmul(y, y);
    const executable = await compile({ outputs: { y } }, { executor });
    // Two matrices and the parameters.
    expect(executable.plan.peakBytes).toBeLessThan(2.1 * width * width * 4);
    executable.close();
  });

  test('500 training steps hold no more memory than the first', async () => {
    const shape = [32, 32];
    const [w, m, v] = ['w', 'm', 'v'].map((name) => variable(name, shape, new Float32Array(1024)));
    const x = input('x', [16, 32]);
    const hyper = input('hyper', [8]);
    const grad = matmul(x, matmul(x, w!), { transposeA: true });
    const [w1, m1, v1] = adamwStep(w!, grad, m!, v!, hyper);
    const executable = await compile(
      {
        outputs: { loss: sum(w1) },
        updates: [
          [w!, w1],
          [m!, m1],
          [v!, v1],
        ],
      },
      { executor },
    );
    const feeds = { x: new Float32Array(512).fill(0.1), hyper: Float32Array.of(0.01, 0.9, 0.99, 1e-8, 0, 1, 1, 1) };
    await executable.run(feeds);
    const { now } = executor.memory();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 500; i++) await executable.run(feeds, i % 10 === 0 ? {} : { read: [] });
    expect(executor.memory()).toMatchObject({ now });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    executable.close();
    executor.release([w!, m!, v!]);
    expect(executor.memory().now).toBeLessThan(now);
  });

  test('programs give back all they took', async () => {
    const { now } = executor.memory();
    for (let i = 0; i < 5; i++)
      await evaluate(
        { y: matmul(input('a', [8, 8]), constant(new Float32Array(64), [8, 8])) },
        {
          executor,
          feeds: {
            a: new Float32Array(64),
          },
        },
      );
    expect(executor.memory().now).toBe(now);
  });
});

/** An op whose kernel is wrong in a way that `plan` says. */
const broken = (plan: KernelPlan) =>
  withKernel(
    defineOp({
      name: 'broken',
      inputs: ['x'],
      infer: ({ x }) => x,
      vjp: 'none',
      reference: ({ x }) => x,
      samples: [],
    }),
    { kind: 'dispatch', plan: () => plan },
  )(input('x', [2, 3]));

const main = (body: string): string =>
  `@compute @workgroup_size(1) fn main(@builtin(workgroup_id) group: vec3<u32>) { ${body} }`;
const bindings = [
  { buffer: 'x', access: 'read', element: 'f32' },
  { buffer: 'out0', access: 'read_write', element: 'f32' },
] as const;

describe('errors', () => {
  test('a kernel that does not compile is named with its shapes and what the compiler said', async () => {
    const y = broken({ dispatches: [{ wgsl: main('out0[0] = nothing;'), bindings, workgroups: 1 }] });
    await expect(compile({ outputs: { y } }, { executor })).rejects.toMatchObject({
      code: 'device-error',
      message: expect.stringMatching(/broken\(2x3 f32\)[^]*unresolved value 'nothing'/),
    });
  });

  test('a kernel that binds what is not there is named', async () => {
    const y = broken({
      dispatches: [
        { wgsl: main(''), bindings: [...bindings, { buffer: 'ghost', access: 'read', element: 'f32' }], workgroups: 1 },
      ],
    });
    await expect(compile({ outputs: { y } }, { executor })).rejects.toThrow(
      'broken(2x3 f32) binds ghost; it has x, out0',
    );
  });

  test('more bindings than the adapter allows are named', async () => {
    const many = Array.from(
      { length: 40 },
      (_, i) => ({ buffer: 'x', as: `x${i}`, access: 'read', element: 'f32' }) as const,
    );
    await expect(
      compile(
        { outputs: { y: broken({ dispatches: [{ wgsl: main(''), bindings: many, workgroups: 1 }] }) } },
        { executor },
      ),
    ).rejects.toThrow(/broken\(2x3 f32\) binds 40 buffers, this adapter allows \d+/);
  });

  test('what the device rejects at a run names the kernel, and the executor goes on', async () => {
    const unfolded = executorOn(await openGpu({ adapter: 'software' }), { maxWorkgroups: 2 ** 17 });
    const y = broken({
      dispatches: [{ wgsl: main('out0[group.x % 6u] = x[group.x % 6u];'), bindings, workgroups: 2 ** 16 }],
    });
    const executable = await compile({ outputs: { y } }, { executor: unfolded });
    const problem = { code: 'device-error', message: expect.stringMatching(/broken\(2x3 f32\)[^]*65535/) };
    const feeds = { x: new Float32Array(6) };
    await expect(executable.run(feeds)).rejects.toMatchObject(problem);
    // A run that nobody waited for fails the next call.
    await executable.run(feeds, { read: [] });
    await expect(unfolded.read(variable('v', [1], new Float32Array(1)))).rejects.toMatchObject(problem);
    expect((await evaluate({ y: silu(constant(new Float32Array(1), [1])) }, { executor: unfolded }))['y']).toEqual(
      Float32Array.of(0),
    );
    await unfolded.close();
  });

  test('a tensor too large for one buffer says how large it may be, and nothing is kept', async () => {
    const { now } = executor.memory();
    const wide = input('wide', [2 ** 15, 2 ** 15]);
    await expect(compile({ outputs: { y: add(wide, 1) } }, { executor })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringContaining('4,096 MiB'),
    });
    expect(executor.memory().now).toBe(now);
    expect((await evaluate({ y: mul(constant(Float32Array.of(2), [1]), 2) }, { executor }))['y']).toEqual(
      Float32Array.of(4),
    );
  });

  test('a closed executor says so', async () => {
    const closed = executorOn(await openGpu({ adapter: 'software' }));
    const executable = await compile(
      { outputs: { y: gather(constant(new Float32Array(4), [2, 2]), constant(Int32Array.of(1), [1])) } },
      { executor: closed },
    );
    await closed.close();
    await expect(executable.run()).rejects.toMatchObject({ code: 'bad-program' });
    await expect(closed.read(variable('v', [1], new Float32Array(1)))).rejects.toMatchObject({ code: 'bad-program' });
  });
});
