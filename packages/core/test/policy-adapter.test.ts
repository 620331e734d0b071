import { grad } from '@peftjs/autograd';
import { memoryFiles } from '@peftjs/io';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { type CausalLM, generate, meanOf, productOf } from '@peftjs/transformer';
import { distance, shake, tinyGpt2, tinyLlama, tokens } from '@peftjs/transformer/testing';
import { expect, test } from 'vitest';
import { type Adapted, attach, grpo, load, policyAdapter, save } from '../src/index.ts';
import { prefix, prompt, scale } from './toys.ts';

const ids = tokens([1, 5, 2, 9], [3, 3, 12, 0]);
const labels = tokens([5, 2, 9, 1], [3, 12, -100, -100]);
const seed = constant(Uint32Array.of(1), []);

/** A large model, and a small one of another family with an adapter. */
const opened = async (weight: number) => {
  const r = reference();
  const base = tinyLlama();
  const own = attach(tinyGpt2(), [scale({ target: 'c_attn' })]);
  await shake(own.state, { executor: r });
  const values = async (y: Tensor): Promise<number[]> => [
    ...((await evaluate({ y }, { executor: r }))['y'] as Float32Array),
  ];
  return { r, base, own, values, adapted: policyAdapter(base, own, { weight }) };
};

const sumOf = (a: readonly number[], b: readonly number[], weight: number): number[] =>
  a.map((v, i) => v + weight * b[i]!);

test('logits are the sum of both, of all tokens and of some', async () => {
  const { base, own, adapted, values } = await opened(0.7);
  for (const options of [{}, { lastOnly: true }, { at: constant(Int32Array.of(1, 2), [2]) }]) {
    const wanted = sumOf(await values(base.logits(ids, options)), await values(own.model.logits(ids, options)), 0.7);
    expect(distance(await values(adapted.model.logits(ids, options)), wanted)).toBeLessThan(1e-5);
  }
  expect(adapted.params).toBe(own.params);
});

test('greedy tokens with a cache are those of whole passes, prompts of unlike lengths too', async () => {
  const { r, base, own, adapted, values } = await opened(1.5);
  const prompts = [[1, 5, 2], [7], [3, 3, 12, 0, 4]];
  const together = await generate(adapted.model, { executor: r, prompt: prompts, maxTokens: 4, stop: [] });
  for (const [row, prompt] of prompts.entries()) {
    const text = [...prompt];
    for (let i = 0; i < 4; i++) {
      const of = (model: CausalLM): Promise<number[]> => values(model.logits(tokens(text), { lastOnly: true }));
      const z = sumOf(await of(base), await of(own.model), 1.5);
      text.push(z.indexOf(Math.max(...z)));
    }
    expect(together[row]).toEqual(text.slice(prompt.length));
  }
});

test("its loss is that of the product, its gradient the adapter's alone", async () => {
  const { r, base, own, adapted, values } = await opened(0.7);
  const loss = meanOf(adapted.loss({ ids, labels }, seed));
  const z = sumOf(await values(base.logits(ids)), await values(own.model.logits(ids)), 0.7);
  const vocabulary = base.config.vocabSize;
  const counted = [5, 2, 9, 1, 3, 12].map((label, i) => {
    const row = z.slice(i * vocabulary, (i + 1) * vocabulary).map(Math.exp);
    return -Math.log(row[label]! / row.reduce((a, b) => a + b, 0));
  });
  expect((await values(loss))[0]).toBeCloseTo(counted.reduce((a, b) => a + b, 0) / 6, 4);
  const [first] = adapted.params.values();
  const [slope] = await values(grad(loss, [first!])[0]!);
  const at = (await r.read(first!))[0]!;
  const shifted = async (by: number): Promise<number> => {
    await r.write(first!, Float32Array.of(at + by));
    return (await values(loss))[0]!;
  };
  expect(slope).toBeCloseTo(((await shifted(1e-2)) - (await shifted(-1e-2))) / 2e-2, 3);
  expect(Math.abs(slope!)).toBeGreaterThan(1e-3);
});

test('grpo costs what leaves the large model, and trains the adapter', async () => {
  const { base, own, adapted, values } = await opened(0.7);
  const batch = {
    ids,
    labels,
    rewards: constant(Float32Array.of(1, 0), [2]),
    advantages: constant(Float32Array.of(1, -1), [2]),
  };
  const total = (of: Adapted, beta: number) => of.loss(batch, seed, { objective: grpo({ beta }) as never });
  const { metrics } = total(adapted, 0.1);
  const kl = (await values(metrics!['kl']!.sum))[0]!;
  const lossesOf = async (model: CausalLM): Promise<number[]> =>
    values(model.run({ ids, labels }).labelLosses().losses);
  const [mine, theirs] = await Promise.all([lossesOf(productOf(base, own.model, 0.7)), lossesOf(base)]);
  const wanted = mine!.map((m, i) => m - theirs![i]!).reduce((sum, d) => sum + Math.exp(d) - d - 1, 0);
  expect(kl).toBeCloseTo(wanted, 3);
  const [first] = adapted.params.values();
  expect((await values(grad(total(adapted, 0).sum, [first!])[0]!))[0]).not.toBe(0);
});

test("is saved as the small model's adapter alone", async () => {
  const { r, base, own, adapted, values } = await opened(0.7);
  const files = memoryFiles();
  await save(adapted, files, { executor: r });
  const again = policyAdapter(base, await load(own.base, files, [scale]), { weight: 0.7 });
  expect(await values(again.model.logits(ids))).toEqual(await values(adapted.model.logits(ids)));
});

test('says what cannot be', async () => {
  const { base, own } = await opened(1);
  expect(() => policyAdapter(base, own, { weight: 0 })).toThrow('policyAdapter: weight must be a number other than 0');
  expect(() => policyAdapter(base, own.model as never)).toThrow('policyAdapter: that is a model alone');
  const odd = { ...base, config: { ...base.config, vocabSize: 3 } };
  expect(() => policyAdapter(odd, own)).toThrow('the vocabularies have 3 and');
  const front = policyAdapter(base, attach(tinyGpt2(), [prompt()]));
  expect(() => front.model.logits(ids)).toThrow('methods that put rows in front have no place in one of two models');
  expect(policyAdapter(base, attach(tinyGpt2(), [prefix()])).model.logits(ids).shape).toEqual([
    2,
    4,
    base.config.vocabSize,
  ]);
});
