import { attention, buildProgram, input, matmul, type ProgramSpec, reshape, silu, variable } from '@peftjs/tensor';
import { ops } from '@peftjs/tensor/executor';
import { describe, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';
import { planProgram } from './plan-program.ts';

const untouched = (): never => {
  throw new Error('a plan needs no values');
};

/** Attention and a head; both take a different number of operations with what is asked of them. */
const spec = (
  causal: boolean,
  wanted: readonly number[],
  values: (size: number) => Float32Array = untouched,
): ProgramSpec => {
  const q = input('q', [2, 4, 24, 16]);
  const rows = reshape(silu(attention(q, q, q, { causal })), [48, 64]);
  const hidden = matmul(
    rows,
    variable('weight', [64, 32], () => values(64 * 32)),
  );
  const outs = ops.head_cross_entropy(
    hidden,
    variable('head', [50, 32], () => values(50 * 32)),
    input('labels', [48], 'i32'),
    null,
    {
      ignoreIndex: -100,
      chunk: 16,
    },
  );
  return { outputs: Object.fromEntries(wanted.map((i) => [`out${i}`, outs[i]!])) };
};

describe('planProgram', () => {
  test('makes the plan that the executor makes', async () => {
    const gpu = await openGpu({ adapter: 'software' });
    const executor = executorOn(gpu);
    try {
      const program = buildProgram(spec(true, [0, 1], (size) => new Float32Array(size)));
      const { plan, close } = await executor.compile(program);
      const { limits } = gpu.device;
      const planned = await planProgram(program, {
        ...gpu.facts,
        maxBindingBytes: limits.maxStorageBufferBindingSize,
        maxBindings: limits.maxStorageBuffersPerShaderStage,
      });
      expect(planned).toEqual(plan);
      close();
    } finally {
      await executor.close();
    }
  });

  test('needs no device and no values: as large a model as one likes', async () => {
    const x = input('x', [512, 16384]);
    const y = matmul(x, variable('large', [65536, 16384], untouched), { transposeB: true });
    const plan = await planProgram(buildProgram({ outputs: { y } }), { maxBindingBytes: 2 ** 33 });
    expect(plan.peakBytes).toBeGreaterThan(4 * 65536 * 16384);
    expect(plan.flops).toBe(2 * 512 * 16384 * 65536);
  });

  test('counts the operations of what is read, and of what a causal query sees', async () => {
    const flops = async (causal: boolean, wanted: readonly number[]): Promise<number> =>
      (await planProgram(buildProgram(spec(causal, wanted)))).flops;
    const product = 2 * 48 * 50 * 32;
    const base = await flops(true, [0]);
    expect((await flops(true, [0, 1])) - base).toBe(product);
    expect((await flops(true, [0, 1, 2])) - base).toBe(2 * product);
    expect((await flops(false, [0])) - base).toBe(((2 * 4 * 24 * 23) / 2) * (4 * 16 + 5));
  });
});
