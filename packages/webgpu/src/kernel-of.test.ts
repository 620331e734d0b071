import { add, compile, type Executor, evaluate, input, silu } from '@peftjs/tensor';
import { defineOp, type Op } from '@peftjs/tensor/op';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { webgpu } from './executor/executor.ts';
import { elementwise } from './kernel.ts';
import { withKernel } from './kernel-of.ts';

const power = (name: string, exponent: number): Op<string, readonly ['x']> =>
  defineOp({
    name,
    inputs: ['x'],
    infer: ({ x }) => x,
    vjp: 'none',
    reference: ({ x }) => x.map((v) => v ** exponent),
    samples: [],
  });

const x = input('x', [3]);
const feeds = { x: Float32Array.of(1, -2, 3) };
let executor: Executor;
beforeAll(async () => {
  executor = await webgpu({ adapter: 'software' });
});
afterAll(() => executor.close());

describe('an op of your own', () => {
  test('runs by the kernel that it is given, fused with others', async () => {
    const cube = withKernel(power('cube', 3), elementwise('x * x * x'));
    const executable = await compile({ outputs: { y: add(cube(x), 1) } }, { executor });
    expect(executable.plan.dispatches).toBe(1);
    expect((await executable.run(feeds))['y']).toEqual(Float32Array.of(2, -7, 28));
  });

  test('keeps its record and its name', () => {
    const bare = power('cube', 3);
    const cube = withKernel(bare, elementwise('x * x * x'));
    expect(cube.name).toBe('cube');
    expect({ ...cube }).toMatchObject({ ...bare });
  });

  test('is refused without a kernel, also where it has the name of another', async () => {
    const refused = { code: 'bad-program', message: expect.stringMatching(/^cube: .*withKernel of @peftjs\/webgpu/) };
    await expect(evaluate({ y: power('cube', 3)(x) }, { executor, feeds })).rejects.toMatchObject(refused);
    await expect(evaluate({ y: power('silu', 3)(x) }, { executor, feeds })).rejects.toThrow(
      'silu: the webgpu executor',
    );
    expect((await evaluate({ y: silu(x) }, { executor, feeds }))['y']![0]).toBeCloseTo(1 / (1 + Math.exp(-1)), 6);
  });
});
