import { grad } from '@peftjs/autograd';
import { compile, headCrossEntropy, input, reference, variable } from '@peftjs/tensor';
import { mustMatch } from '@peftjs/tensor/testing';
import { expect, it } from 'vitest';
import { cpu } from '../src/index.ts';

const [rows, width, vocabulary] = [6, 3, 5];

it.each([1, 1000])('is exact where a label is nearly impossible: logits × %d', async (factor) => {
  const [hidden, weight] = [input('hidden', [rows, width]), input('weight', [vocabulary, width])];
  const loss = headCrossEntropy(hidden, weight, input('labels', [rows], 'i32'), { chunk: 4 });
  const outputs = { loss, dHidden: grad(loss, [hidden])[0]! };
  const feeds = {
    hidden: Float32Array.from({ length: rows * width }, (_, i) => factor * Math.sin(i * 1.3)),
    weight: Float32Array.from({ length: vocabulary * width }, (_, i) => 5 * Math.cos(i * 2.1)),
    labels: Int32Array.of(0, 1, -100, 2, 3, 4),
  };
  const executor = await cpu({ threads: 1 });
  const got = await (await compile({ outputs }, { executor })).run(feeds);
  const wanted = await (await compile({ outputs }, { executor: reference() })).run(feeds);
  if (factor > 1) expect(wanted['loss']![0]).toBeGreaterThan(100);
  for (const [name, t] of Object.entries(outputs)) mustMatch(name, t, got[name]!, wanted[name]!);
  await executor.close();
});

it('of many rows goes by larger chunks, exactly', async () => {
  const many = 301;
  const [hidden, weight] = [input('hidden', [many, width]), input('weight', [vocabulary, width])];
  const loss = headCrossEntropy(hidden, weight, input('labels', [many], 'i32'), { chunk: 4 });
  const [dHidden, dWeight] = grad(loss, [hidden, weight]);
  const outputs = { loss, dHidden: dHidden!, dWeight: dWeight! };
  const feeds = {
    hidden: Float32Array.from({ length: many * width }, (_, i) => Math.sin(i * 1.3)),
    weight: Float32Array.from({ length: vocabulary * width }, (_, i) => Math.cos(i * 2.1)),
    labels: Int32Array.from({ length: many }, (_, i) => (i % 7 === 0 ? -100 : i % vocabulary)),
  };
  const executor = await cpu({ threads: 1 });
  const got = await (await compile({ outputs }, { executor })).run(feeds);
  const wanted = await (await compile({ outputs }, { executor: reference() })).run(feeds);
  for (const [name, t] of Object.entries(outputs)) mustMatch(name, t, got[name]!, wanted[name]!);
  await executor.close();
});

it('over whole numbers feels the many tokens that are unlikely each', async () => {
  const tokens = 4096;
  const hidden = input('hidden', [1, width]);
  const weight = input('weight', [tokens, width], 'u8');
  const loss = headCrossEntropy(hidden, weight, input('labels', [1], 'i32'), { scale: input('scale', [tokens, 1]) });
  const outputs = { loss, dHidden: grad(loss, [hidden])[0]! };
  // Two tokens have nearly all of the softmax, along the first axis; the others share a hundredth, millionths each, along the second.
  const feeds = {
    hidden: Float32Array.of(Math.log(99 * (tokens - 1)), 0, 0),
    weight: Uint8Array.from({ length: tokens * width }, (_, i) => {
      if (i < 2 * width) return [127, 0, 0, 118, 0, 0][i]!;
      return i % width === 1 ? 100 : 0;
    }),
    labels: Int32Array.of(0),
    scale: new Float32Array(tokens).fill(1 / 127),
  };
  const executor = await cpu({ threads: 1 });
  const got = (await (await compile({ outputs }, { executor })).run(feeds))['dHidden']!;
  const wanted = (await (await compile({ outputs }, { executor: reference() })).run(feeds))['dHidden']!;
  expect(wanted[1]).toBeGreaterThan(0.005);
  for (const [i, v] of wanted.entries()) expect(Math.abs(got[i]! - v), `${i}`).toBeLessThan(1e-4);
  await executor.close();
});

/** A loss over so many rows, with the gradient that training needs. */
const lossOf = (count: number) => {
  const hidden = input('hidden', [count, width]);
  const loss = headCrossEntropy(hidden, input('weight', [4096, width]), input('labels', [count], 'i32'));
  return { outputs: { loss, dHidden: grad(loss, [hidden])[0]! } };
};

it.each([
  ['the gradient of its rows', false, ['hidden']],
  ['all gradients', false, ['hidden', 'weight']],
  ['the gradient of its rows, over whole numbers', true, ['hidden']],
] as const)('holds logits of a few rows at a time: with %s', async (_, isWhole, wrt) => {
  const tokens = 32_768;
  const executor = await cpu({ threads: 1 });
  const peakOf = async (count: number): Promise<number> => {
    const weight = isWhole
      ? input('weight', [tokens, width], 'u8')
      : variable('weight', [tokens, width], () => new Float32Array(tokens * width));
    const leaves = { hidden: input('hidden', [count, width]), weight };
    const scale = isWhole ? input('scale', [tokens, 1]) : null;
    const loss = headCrossEntropy(leaves.hidden, weight, input('labels', [count], 'i32'), { scale });
    const found = grad(
      loss,
      wrt.map((name) => leaves[name]),
    );
    const outputs = { loss, ...Object.fromEntries(wrt.map((name, i) => [name, found[i]!])) };
    return (await compile({ outputs }, { executor })).plan.peakBytes;
  };
  expect((await peakOf(1024)) - (await peakOf(256))).toBeLessThan((768 * tokens * 4) / 16);
  await executor.close();
});

it('has a graph whose size does not grow with the rows', async () => {
  const executor = await cpu({ threads: 1, memoryLimit: 2 ** 40 });
  const [few, many] = [await compile(lossOf(100_000), { executor }), await compile(lossOf(1_600_000), { executor })];
  expect(many.plan.dispatches).toBe(few.plan.dispatches);
  await executor.close();
});

it('of more rows than fit is refused before ONNX Runtime sees it', async () => {
  const executor = await cpu({ threads: 1, memoryLimit: 2 ** 24 });
  await expect(compile(lossOf(1_600_000), { executor })).rejects.toMatchObject({ code: 'out-of-memory' });
  await executor.close();
});
