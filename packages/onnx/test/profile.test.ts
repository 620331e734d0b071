import { compile, input, matmul, mul, silu, variable } from '@peftjs/tensor';
import { expect, it } from 'vitest';
import { kernelTimes } from '../src/cpu/profile.ts';
import { cpu } from '../src/index.ts';

it.each([false, true])(
  'times each kernel by the op it is for and runs updates once (in a process beside: %s)',
  async (worker) => {
    const executor = await cpu({ threads: 1, worker });
    const w = variable('w', [32, 16], new Float32Array(512).fill(0.5));
    const y = silu(matmul(input('x', [64, 32]), w));
    const executable = await compile({ outputs: { y }, updates: [[w, mul(w, 2)]] }, { executor });
    const feeds = { x: new Float32Array(64 * 32).fill(1) };
    const { ms, kernels } = await executable.profile!(feeds);
    const product = kernels.find(({ op }) => op === 'matmul')!;
    expect(product).toMatchObject({ count: 1, flops: 2 * 64 * 32 * 16, bytes: 4 * (64 * 32 + 32 * 16 + 64 * 16) });
    expect(product.name).toMatch(/\(64x32x16\)$/);
    expect(product.flopsPerSecond).toBeGreaterThan(0);
    expect(kernels.map(({ op }) => op)).toEqual(expect.arrayContaining(['silu', 'mul', 'between kernels']));
    expect(kernels.reduce((sum, kernel) => sum + kernel.share, 0)).toBeCloseTo(1);
    expect(kernels.reduce((sum, kernel) => sum + kernel.ms, 0)).toBeCloseTo(ms);
    expect(new Set(await executor.read(w))).toEqual(new Set([1]));
    expect((await executable.run(feeds))['y']![0]).toBeCloseTo(32, 4);
    await executor.close();
  },
);

it('takes the least of the runs after the first', () => {
  const run = (ts: number, dur: number) => [
    { cat: 'Session', name: 'SequentialExecutor::Execute', ts, dur: dur + 3 },
    {
      cat: 'Node',
      name: 'a.Mul_kernel_time',
      ts: ts + 1,
      dur,
      args: { op_name: 'Mul', output_type_shape: [{ float: [2, 3] }] },
    },
  ];
  expect(kernelTimes(JSON.stringify([...run(0, 10), ...run(100, 50), ...run(200, 30)]))).toEqual([
    { node: 'a.Mul', type: 'Mul', ms: 0.03, inputs: [], outputs: [{ type: 'float', shape: [2, 3] }] },
    { node: null, type: 'between kernels', ms: expect.closeTo(0.003), inputs: [], outputs: [] },
  ]);
});
