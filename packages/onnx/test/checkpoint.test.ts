import { grad, recomputed } from '@peftjs/autograd';
import { add, after, compile, exp, input, mean, mul, neg, reshape, sin, sum, type Tensor } from '@peftjs/tensor';
import { expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

const [rows, width, blocks] = [1024, 4096, 6];

/** Blocks of [rows] -> [rows] by way of 16 MiB values, and the gradient through them. */
const chain = (
  wrap: (f: (x: Tensor) => Tensor) => (x: Tensor) => Tensor,
): { readonly loss: Tensor; readonly dx: Tensor } => {
  const scale = input('scale', [1, width]);
  const step = wrap((h) => {
    const wide = mul(reshape(h, [rows, 1]), scale);
    return mean(sin(exp(neg(mul(wide, add(wide, 1))))), { axes: [1] });
  });
  const x = input('x', [rows]);
  const loss = sum(Array.from({ length: blocks }).reduce<Tensor>((h) => step(h), x));
  return { loss, dx: grad(loss, [x])[0]! };
};

it('recomputes late enough to save memory, and changes no result', async () => {
  const feeds = {
    x: Float32Array.from({ length: rows }, (_, i) => i / rows),
    scale: Float32Array.from({ length: width }, (_, i) => i / width),
  };
  const measure = async (outputs: Record<string, Tensor>) => {
    const executor = await cpu({ threads: 1 });
    const program = await compile({ outputs }, { executor });
    const before = process.memoryUsage().rss;
    const results = await program.run(feeds);
    const grown = process.memoryUsage().rss - before;
    await executor.close();
    return { results, grown, planned: program.plan.peakBytes };
  };
  const saving = await measure({ ...chain(recomputed) });
  const plain = await measure({ ...chain((f) => f) });
  expect(saving.results).toEqual(plain.results);
  expect(saving.planned).toBeLessThan(plain.planned / 2);
  expect(saving.grown).toBeLessThan(plain.grown / 2);
});

it('lets nothing of the token through, not even what is no number', async () => {
  const executor = await cpu({ threads: 1 });
  const [x, token] = [input('x', [2]), input('token', [3])];
  const program = await compile(
    { outputs: { y: after(mul(x, 2), token), scalar: after(sum(x), token) } },
    { executor },
  );
  for (const v of [Number.NaN, Number.POSITIVE_INFINITY, -3e38])
    expect(await program.run({ x: Float32Array.of(1, 2), token: Float32Array.of(v, v, v) })).toEqual({
      y: Float32Array.of(2, 4),
      scalar: Float32Array.of(3),
    });
  await executor.close();
});
