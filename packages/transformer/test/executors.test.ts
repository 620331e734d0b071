import { grad } from '@peftjs/autograd';
import { evaluate } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { buildModel, generator, meanOf, parameters } from '../src/index.ts';
import { executors, shared } from './executors.ts';
import { naiveLoss } from './naive.ts';
import { naiveLlama } from './naive-llama.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { subjects } from './subjects.ts';
import { tinyConfig, tinyWeights } from './tiny.ts';

const ids = [3, 1, 4, 1, 5, 9, 2, 6];
const labels = [1, 4, -100, 5, 9, 2, 6, -100];

describe.each(executors)('transformer on %s', (_, open) => {
  const executor = shared(open);

  test.each([
    ['grouped heads and biases', { attentionBias: true, mlpBias: true }],
    ['a tied head', { tieWordEmbeddings: true, keyValueHeads: 1 }],
  ])('logits and loss are those of plain loops: %s', async (_, changes) => {
    const config = tinyConfig(changes);
    const weights = tinyWeights();
    const model = buildModel(config, weights);
    const expected = naiveLlama(config, weights.values, ids);
    const outputs = {
      logits: model.logits(tokens(ids)),
      loss: meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) })),
    };
    const { logits, loss } = await evaluate(outputs, { executor: await executor() });
    expect(distance(logits!, expected.flat())).toBeLessThan(1e-5);
    expect(loss![0]).toBeCloseTo(naiveLoss(expected, labels), 5);
  });

  describe.each(subjects)('%s', (_name, make) => {
    test('logits and loss are those of plain loops', async () => {
      const { model, naive } = make({ tieWordEmbeddings: true });
      const expected = naive(ids);
      const outputs = {
        logits: model.logits(tokens(ids)),
        loss: meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) })),
      };
      const { logits, loss } = await evaluate(outputs, { executor: await executor() });
      expect(distance(logits!, expected.flat())).toBeLessThan(1e-5);
      expect(loss![0]).toBeCloseTo(naiveLoss(expected, labels), 5);
    });

    test('gradients are those of the definition, stored or recomputed', async () => {
      const { model } = make({ tieWordEmbeddings: true });
      const wrt = [...parameters(model).values()];
      for (const checkpoint of [false, true]) {
        const grads = grad(
          meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) }, { recompute: checkpoint })),
          wrt,
        );
        const got = await evaluate(Object.fromEntries(grads.map((g, i) => [i, g])), { executor: await executor() });
        for (const [i, g] of grads.entries()) expect(distance(got[i]!, await valuesOf(g))).toBeLessThan(2e-5);
      }
    });

    test('generation continues a cache, several prompts at once', async () => {
      const { model, naive } = make({}, 3);
      const greedy = (prompt: readonly number[]): number[] => {
        const text = [...prompt];
        for (let i = 0; i < 6; i++) {
          const last = naive(text).at(-1)!;
          text.push(last.indexOf(Math.max(...last)));
        }
        return text.slice(prompt.length);
      };
      const prompts = [[1, 5, 2], [7, 7, 3, 12, 4, 1, 9], [0]];
      const g = generator(model, { executor: await executor(), context: 16 });
      expect(await g.generate(prompts, { maxTokens: 6 })).toEqual(prompts.map(greedy));
      expect(await g.generate([prompts[1]!], { maxTokens: 6 })).toEqual([greedy(prompts[1]!)]);
      await g.close();
    });
  });
});
