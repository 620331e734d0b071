import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  adamwStep,
  addSquares,
  compile,
  constant,
  type Executor,
  input,
  matmul,
  type Variable,
  variable,
} from '@peftjs/tensor';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openGpu } from '../device/dawn.ts';
import { executorOn } from './executor.ts';

let executor: Executor;
beforeAll(async () => {
  executor = executorOn(await openGpu({ adapter: 'software' }));
});
afterAll(() => executor.close());

const hyper = constant(Float32Array.of(0.01, 0.9, 0.99, 1e-8, 0, 1, 1, 1), [8]);
const weights = ['a', 'b'].map((name) =>
  ['', '.m', '.v'].map((part) => variable(name + part, [4, 4], new Float32Array(16).fill(0.1))),
) as [Variable, Variable, Variable][];

/** A training step with all that real ones have: feeds, products, packed updates, a kept result. */
const program = () => {
  const x = input('x', [4, 4]);
  const grads = weights.map(([w]) => matmul(x, matmul(x, w), { transposeA: true }));
  const norm = grads.reduce((total, g) => addSquares(total, g), constant(Float32Array.of(0), []));
  const updates = weights.flatMap(([w, m, v], i) => {
    const [w1, m1, v1] = adamwStep(w, grads[i]!, m, v, hyper);
    return [[w, w1] as const, [m, m1] as const, [v, v1] as const];
  });
  return { outputs: { norm }, updates };
};
const feeds = { x: new Float32Array(16).fill(0.01) };

/** Resident bytes, once garbage is gone as far as it can be. */
const resident = async (): Promise<number> => {
  globalThis.gc?.();
  await new Promise((resolve) => setTimeout(resolve, 50));
  return process.memoryUsage().rss;
};

// A machine that others use takes a while.
const patience = { timeout: 600_000 };

test('4,000 steps hold no more memory than the first', patience, async () => {
  const executable = await compile(program(), { executor });
  const steps = async (count: number): Promise<void> => {
    for (let i = 1; i <= count; i++) {
      await executable.run(feeds, { keep: ['norm'] });
      if (i % 100 === 0) expect(await executable.kept()).toHaveLength(100);
    }
  };
  await steps(100);
  const { now, peak } = executor.memory();
  // Heaps and pools of the driver fill up first: by 20 to 60 MiB, and then no more.
  await steps(1_900);
  const before = await resident();
  await steps(2_000);
  expect(executor.memory()).toMatchObject({ now, peak });
  expect((await resident()) - before).toBeLessThan(48 * 2 ** 20);
  executable.close();
});

test('100 rounds of compiling and closing leave nothing', async () => {
  const round = async (): Promise<void> => {
    const executable = await compile(program(), { executor });
    await executable.run(feeds);
    executable.close();
  };
  for (let i = 0; i < 5; i++) await round();
  const { now, peak } = executor.memory();
  const before = await resident();
  for (let i = 0; i < 100; i++) await round();
  expect(executor.memory()).toMatchObject({ now, peak });
  expect((await resident()) - before).toBeLessThan(48 * 2 ** 20);
  executor.release(weights.flat());
  expect(executor.memory().now).toBe(0);
});

test('variables that nobody can reach any more give their storage back', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const round = async (): Promise<void> => {
    const own = variable('own', [32, 32], new Float32Array(1024));
    const executable = await compile(
      { outputs: { y: matmul(input('x', [1, 32]), own) }, updates: [[own, own]] },
      { executor },
    );
    await executable.run({ x: new Float32Array(32) });
    executable.close();
  };
  for (let i = 0; i < 40; i++) await round();
  const kept = executor.memory().byKind.variables;
  for (let i = 0; i < 10; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect(kept).toBeGreaterThan(2 * 4096);
  // The last round's may still be in a register or on a stack.
  expect(executor.memory().byKind.variables).toBeLessThanOrEqual(4096);
});
