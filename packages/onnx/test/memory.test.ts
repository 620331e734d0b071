import { compile, input, matmul, PeftError, variable } from '@peftjs/tensor';
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
