import {
  add,
  compile,
  type Executor,
  input,
  matmul,
  mul,
  PeftError,
  reference,
  sliceUpdate,
  variable,
} from '@peftjs/tensor';
import { expect, test } from 'vitest';
import { cpu } from '../src/index.ts';

const product = () => {
  const w = variable('w', [1024, 1024], () => new Float32Array(1024 * 1024));
  return { outputs: { y: matmul(input('x', [1024, 1024]), w) } };
};

test('a program that cannot fit says so before it allocates', async () => {
  const executor = await cpu({ threads: 1, memoryLimit: 6 * 2 ** 20 });
  await expect(compile(product(), { executor })).rejects.toMatchObject({
    code: 'out-of-memory',
    message: expect.stringMatching(
      /needs 8 MiB of memory, 6 MiB are available: 4 MiB of variables \(w \[1024,1024\] 4 MiB\) and 4 MiB of intermediate values \(matmul \[1024,1024\] 4 MiB\)\. To make it fit use a quantised base model \(4 MiB of frozen weights take about 0.6 MiB as NF4\); or a batch or context 2 times smaller\./,
    ),
  });
  await executor.close();
});

test('what is held already is not asked for again', async () => {
  const executor = await cpu({ threads: 1, memoryLimit: 9 * 2 ** 20 });
  const spec = product();
  const first = await compile(spec, { executor });
  await first.run({ x: new Float32Array(1024 * 1024) });
  await expect(compile(spec, { executor })).resolves.toBeDefined();
  await executor.close();
});

test('a limit that is none is refused', async () => {
  await expect(cpu({ memoryLimit: 0 })).rejects.toBeInstanceOf(PeftError);
});

test.each([
  ['are written over the variable', false, 1],
  ['have an array of their own where something else reads the old value', true, 2],
])('rows that take the place of others %s', async (_, isRead, arrays) => {
  const [size, initial] = [4 * 2 * 64 * 8, new Float32Array(2 * 64 * 8).fill(3)];
  const made = async (executor: Executor) => {
    const cache = variable('cache', [2, 64, 8], initial);
    const kept = sliceUpdate(cache, input('rows', [2, 1, 8]), input('slot', [], 'i32'), { axis: 1 });
    const outputs = { y: mul(kept, 2), ...(isRead && { old: add(cache, 1) }) };
    const { run } = await compile({ outputs, updates: [[cache, kept]] }, { executor });
    return async (slot: number) => [
      await run({ rows: Float32Array.from({ length: 16 }, (_, i) => slot + i), slot: Int32Array.of(slot) }),
      await executor.read(cache),
    ];
  };
  const executor = await cpu({ threads: 1 });
  const [own, other] = [await made(executor), await made(reference())];
  for (const slot of [5, 63, 700]) expect(await own(slot)).toEqual(await other(slot));
  expect(executor.memory().byKind.variables).toBe(arrays * size);
  expect(initial.every((x) => x === 3)).toBe(true);
  await executor.close();
});
