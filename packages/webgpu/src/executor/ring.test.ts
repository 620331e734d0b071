import { add, compile, type Executor, input, mul, reference, sum, variable } from '@peftjs/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

let gpu: Executor;
beforeAll(async () => {
  gpu = executorOn(await openGpu({ adapter: 'software' }), { poison: true });
});
afterAll(() => gpu.close());

const program = () => {
  const w = variable('w', [2], Float32Array.of(0, 0));
  const next = add(w, input('x', [2]));
  return { outputs: { total: sum(next), twice: mul(next, 2) }, updates: [[w, next] as const] };
};
const feeds = { x: Float32Array.of(1, 2) };

describe.each([
  ['webgpu', () => gpu],
  ['reference', () => reference()],
] as const)('kept results on %s', (_, executor) => {
  test('come in order, all of them, each once', async () => {
    const executable = await compile(program(), { executor: executor() });
    expect(await executable.kept()).toEqual([]);
    // More than the device holds.
    for (let i = 0; i < 150; i++) expect(await executable.run(feeds, { keep: ['total'] })).toEqual({});
    const kept = await executable.kept();
    expect(kept.map(({ total }) => total![0])).toEqual(Array.from({ length: 150 }, (_, i) => 3 * (i + 1)));
    expect(await executable.kept()).toEqual([]);
    executable.close();
  });

  test('may be others from run to run, and be read as well', async () => {
    const executable = await compile(program(), { executor: executor() });
    await executable.run(feeds, { keep: ['total'] });
    const { twice } = await executable.run(feeds, { keep: ['twice', 'total'], read: ['twice'] });
    expect(twice).toEqual(Float32Array.of(4, 8));
    expect(await executable.kept()).toEqual([
      { total: Float32Array.of(3) },
      { twice: Float32Array.of(4, 8), total: Float32Array.of(6) },
    ]);
    await expect(executable.run(feeds, { keep: ['loss'] })).rejects.toMatchObject({
      message: expect.stringContaining('loss'),
    });
    executable.close();
  });
});

test('a step that keeps its results takes no memory from run to run', async () => {
  const executable = await compile(program(), { executor: gpu });
  await executable.run(feeds, { keep: ['total'] });
  const { now } = gpu.memory();
  for (let i = 0; i < 300; i++) await executable.run(feeds, { keep: ['total'] });
  // Less, where what other tests left behind was collected meanwhile.
  expect(gpu.memory().now).toBeLessThanOrEqual(now);
  executable.close();
});
