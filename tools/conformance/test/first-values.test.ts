import { add, matmul, mul, reference, variable } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { executors } from './executors.ts';

const size = 64;
const square = (name: string): ReturnType<typeof variable> =>
  variable(
    name,
    [size, size],
    Float32Array.from({ length: size * size }, (_, i) => (i % 7) - 3),
  );

// LoftQ's matrices begin with what a whole model lost, of which a step needs nothing: SmolLM2 would stay in memory for good, 513 MiB.
describe.each(executors)('first values that are computed of other variables, on %s', (name, open) => {
  test('are right, and do not keep what they were computed of', async () => {
    const executor = await open();
    const [whole, own] = [square('whole'), square('own')];
    const first = variable('first', [size, size], async (compute) =>
      Float32Array.from((await compute(matmul(whole, own))) as Float32Array),
    );
    const definition = reference();
    const expected = await definition.read(variable('product', [size, size], add(mul(matmul(whole, own), 1), 0)));
    await executor.read(own);
    const before = executor.memory().byKind.variables;
    expect(await executor.read(first)).toEqual(expected);
    const grown = executor.memory().byKind.variables - before;
    if (name !== 'reference') expect(grown).toBe(4 * size * size);
    executor.release([own, first]);
  });
});
