import { type Executor, reference } from '@peftjs/tensor';
import { tinyLlama } from '@peftjs/transformer/testing';
import { limitedGpu } from '@peftjs/webgpu/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { adamw, allWeights, chain, clip, makeBatch, makeTrainStep, packTokens } from './index.ts';

const maxBindingBytes = 2 ** 19;
let executor: Executor;
beforeAll(async () => {
  executor = await limitedGpu({ maxBindingBytes, poison: true });
});
afterAll(() => executor.close());

const vocabSize = 3001;
const config = {
  vocabSize,
  hiddenSize: 48,
  intermediateSize: 64,
  layers: 1,
  heads: 2,
  keyValueHeads: 2,
  headDim: 24,
  maxPositions: 16,
};

test.each([true, false])('WebGPU trains embeddings and heads that no kernel may bind, tied: %s', async (tied) => {
  const target = allWeights(tinyLlama({ ...config, tieWordEmbeddings: tied }));
  const large = [...target.params].filter(([, v]) => 4 * v.shape.reduce((a, b) => a * b, 1) > maxBindingBytes);
  expect(large.length).toBe(tied ? 1 : 2);
  const { rows } = packTokens([Array.from({ length: 99 }, (_, i) => (i * i * 37) % vocabSize)], {
    context: 8,
    endOfText: 0,
  });
  const run = async (on: Executor) => {
    // A large eps, so that gradients which are rounding alone move nothing.
    const optimizer = chain(clip(1), adamw({ eps: 1e-3, weightDecay: 0.1 }));
    const step = await makeTrainStep(target, {
      executor: on,
      optimizer,
      gathers: true,
    });
    const batches = [0, 2].map((i) => makeBatch(rows.slice(i, i + 2), 2, 8));
    for (let i = 0; i < 2; i++) await step.run(i, 0.01, batches);
    const results = await step.results();
    const weights = new Map<string, ArrayLike<number>>();
    for (const [name, v] of target.params) weights.set(name, await on.read(v));
    step.close();
    // The other run begins with the initial values.
    on.release(target.params.values());
    return { results, weights };
  };
  const [got, want] = [await run(executor), await run(reference())];
  want.results.forEach(({ loss, gradNorm }, i) => {
    expect(got.results[i]!.loss).toBeCloseTo(loss, 4);
    expect(got.results[i]!.gradNorm).toBeCloseTo(gradNorm, 4);
  });
  for (const [name, values] of want.weights) {
    const mine = got.weights.get(name)!;
    for (let i = 0; i < values.length; i++)
      if (!(Math.abs(mine[i]! - values[i]!) < 1e-4)) expect.fail(`${name}[${i}]: ${mine[i]}, not ${values[i]}`);
  }
});
