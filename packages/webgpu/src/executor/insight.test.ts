import { add, compile, constant, type Executor, input, matmul, mul, silu, softmax, variable } from '@peftjs/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Gpu, openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

let gpu: Gpu;
let executor: Executor;
beforeAll(async () => {
  gpu = await openGpu({ adapter: 'software' });
  executor = executorOn(gpu);
});
afterAll(() => executor.close());

const [rows, width] = [64, 32];
const program = () => {
  const w = variable('w', [width, width], new Float32Array(width * width).fill(0.1));
  const x = input('x', [rows, width]);
  const table = constant(new Float32Array(rows * width), [rows, width]);
  const h = softmax(matmul(x, w));
  return { w, spec: { outputs: { y: add(matmul(silu(h), w), table) }, updates: [[w, mul(w, 0.5)] as const] } };
};
const feeds = { x: new Float32Array(rows * width).fill(1) };

describe('memory', () => {
  test('is told by what it is for, and all of it is told', async () => {
    const empty = executor.memory();
    const { w, spec } = program();
    const executable = await compile(spec, { executor });
    await executable.run(feeds);
    const { now, peak, byKind } = executor.memory();
    expect(byKind.variables - empty.byKind.variables).toBe(4 * width * width);
    expect(byKind.constants - empty.byKind.constants).toBe(4 * rows * width);
    expect(byKind.staging - empty.byKind.staging).toBe(4 * rows * width);
    expect(byKind.temporaries).toBeGreaterThan(empty.byKind.temporaries);
    expect(byKind.parameters).toBeGreaterThan(empty.byKind.parameters);
    expect(Object.values(byKind).reduce((a, b) => a + b)).toBe(now);
    expect(peak).toBeGreaterThanOrEqual(now);
    expect(now - empty.now - 4 * rows * width).toBe(executable.plan.peakBytes);
    executable.close();
    executor.release([w]);
    expect(executor.memory().byKind).toEqual(empty.byKind);
  });
});

describe('plans', () => {
  test('list tensors and kernels', async () => {
    const { w, spec } = program();
    const { plan, close } = await compile(spec, { executor });
    expect(plan.tensors).toContainEqual({ name: 'w [32x32 f32]', kind: 'variable', bytes: 4096 });
    expect(plan.tensors).toContainEqual({ name: 'constant [64x32 f32]', kind: 'constant', bytes: 8192 });
    expect(plan.tensors.filter((t) => t.kind === 'temporary').every((t) => t.bytes === 8192)).toBe(true);
    const product = plan.kernels.find((k) => k.name === 'matmul(64x32 f32, 32x32 f32)')!;
    // Both sides read, the result written.
    const bytes = 4 * (2 * rows * width + width * width);
    expect(product).toMatchObject({ count: 1, flops: 2 * rows * width * width, bytes });
    expect(plan.kernels.map((k) => k.name)).toContain('matmul(64x32 f32, 32x32 f32) + add');
    expect(plan.kernels.reduce((n, k) => n + k.count, 0)).toBe(plan.dispatches);
    expect(plan.kernels.reduce((n, k) => n + k.flops, 0)).toBe(plan.flops);
    expect(plan.bytesMoved).toBeGreaterThanOrEqual(plan.kernels.reduce((n, k) => n + k.bytes, 0));
    close();
    executor.release([w]);
  });

  test('what cannot fit is refused before memory is taken, by tensor, with what to do', async () => {
    const small = executorOn(await openGpu({ adapter: 'software' }), { memoryLimit: 16384 });
    await expect(compile(program().spec, { executor: small })).rejects.toMatchObject({
      code: 'out-of-memory',
      message: expect.stringMatching(
        /^webgpu: the program needs .* variables \(w \[32x32 f32\] .*To make it fit use a .*batch/,
      ),
    });
    expect(small.memory().peak).toBe(0);
    await small.close();
  });
});

describe('profiles', () => {
  test('time each kind of kernel, and run the program', async () => {
    const { w, spec } = program();
    const executable = await compile(spec, { executor });
    if (!gpu.device.features.has('timestamp-query')) {
      await expect(executable.profile!(feeds)).rejects.toMatchObject({ code: 'device-unavailable' });
    } else {
      const { ms, kernels } = await executable.profile!(feeds);
      expect(kernels.map((k) => k.name).sort()).toEqual(executable.plan.kernels.map((k) => k.name).sort());
      expect(kernels.reduce((n, k) => n + k.ms, 0)).toBeCloseTo(ms);
      if (ms > 0) expect(kernels.reduce((n, k) => n + k.share, 0)).toBeCloseTo(1);
      expect((await executor.read(w))[0]).toBeCloseTo(0.05);
    }
    executable.close();
    executor.release([w]);
  });

  test('say so where the adapter has no timestamps', async () => {
    const plain = executorOn(await openGpu({ adapter: 'software', features: [] }));
    const executable = await compile(program().spec, { executor: plain });
    await expect(executable.profile!(feeds)).rejects.toMatchObject({
      code: 'device-unavailable',
      message: expect.stringContaining('timestamp-query'),
    });
    await plain.close();
  });
});
