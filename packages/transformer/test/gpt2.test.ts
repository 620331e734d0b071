import { grad } from '@peftjs/autograd';
import { concat, constant, evaluate, input, reference, type Tensor } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import type { Gpt2Config } from '../src/index.ts';
import { type Around, buildModel, type CausalLM, generator, meanOf, parameters } from '../src/index.ts';
import { naiveLoss } from './naive.ts';
import { naiveGpt2 } from './naive-gpt2.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { siteNames } from './subjects.ts';
import { tinyGpt2Config, tinyWeights } from './tiny.ts';

const variants: Readonly<Record<string, Partial<Gpt2Config>>> = {
  'its own head': {},
  'a tied head': { tieWordEmbeddings: true },
  'the exact GELU': { activation: 'gelu' },
  ReLU: { activation: 'relu' },
  SiLU: { activation: 'silu' },
  'one head': { heads: 1, headDim: 8 },
  'an MLP narrower than the stream': { intermediateSize: 5 },
  'a large eps': { normEps: 0.5 },
};

const ids = [3, 1, 4, 1, 5, 9, 2, 6];

describe.each(Object.entries(variants))('gpt2 with %s', (_, changes) => {
  const config = tinyGpt2Config(changes);
  const weights = tinyWeights();
  const model = buildModel(config, weights);

  test('gives the logits of plain loops, each row of a batch on its own', async () => {
    const other = ids.map((id) => (id * 5 + 2) % config.vocabSize);
    const expected = [ids, other].flatMap((row) => naiveGpt2(config, weights.values, row)).flat();
    expect(distance(await valuesOf(model.logits(tokens(ids, other))), expected)).toBeLessThan(2e-6);
  });

  test('gives the loss of plain loops over the labelled positions', async () => {
    const labels = [1, 4, -100, 5, 9, -100, -100, 0];
    const expected = naiveLoss(naiveGpt2(config, weights.values, ids), labels);
    const [loss] = await valuesOf(meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) })));
    expect(loss).toBeCloseTo(expected, 6);
  });
});

test('a gpt2 has the paths of Hugging Face modules', () => {
  const model = buildModel(tinyGpt2Config(), tinyWeights());
  expect(Object.fromEntries(siteNames.map((site) => [site, model.paths(site)]))).toEqual({
    embed: ['transformer.wte'],
    block: ['transformer.h.0', 'transformer.h.1'],
    attn: ['transformer.h.0.attn', 'transformer.h.1.attn'],
    mlp: ['transformer.h.0.mlp', 'transformer.h.1.mlp'],
    norm: [...[0, 1].flatMap((i) => [`transformer.h.${i}.ln_1`, `transformer.h.${i}.ln_2`]), 'transformer.ln_f'],
    heads: ['transformer.h.0.attn', 'transformer.h.1.attn'],
    kv: ['transformer.h.0.attn', 'transformer.h.1.attn'],
    head: ['lm_head'],
  });
  expect([...model.linears].map(([path, { outDim, inDim }]) => [path, outDim, inDim])).toEqual([
    ...[0, 1].flatMap((i) => [
      [`transformer.h.${i}.attn.c_attn`, 24, 8],
      [`transformer.h.${i}.attn.c_proj`, 8, 8],
      [`transformer.h.${i}.mlp.c_fc`, 10, 8],
      [`transformer.h.${i}.mlp.c_proj`, 8, 10],
    ]),
    ['lm_head', 13, 8],
  ]);
  expect([...model.embeddings.keys()]).toEqual(['transformer.wte', 'transformer.wpe']);
  expect([...model.norms.keys()].sort()).toEqual([...model.paths('norm')].sort());
});

test('heads that do not make the width are refused', () => {
  expect(() => buildModel(tinyGpt2Config({ heads: 3 }), tinyWeights())).toThrow(
    /gpt2: 3 heads of headDim 4 do not make the hiddenSize 8/,
  );
});

describe('learned positions', () => {
  const config = tinyGpt2Config({ maxPositions: 12 });
  const weights = tinyWeights();
  const model = buildModel(config, weights);
  const front = constant(
    Float32Array.from({ length: 24 }, (_, i) => Math.sin(i)),
    [1, 3, 8],
  );
  const soften: Around<'embed'> = (x, next) => concat(front, next(x), { axis: 1 });
  const soft = model.with({ around: { embed: new Map([['transformer.wte', [soften]]]) } });
  const logitsFrom = (first: number): number[] => naiveGpt2(config, weights.values, ids, {}, first).flat();

  test('are those that are given, or those of positionShift', async () => {
    for (const shape of [[8], [1, 8]]) {
      const positions = constant(
        Int32Array.from(ids, (_, i) => i + 4),
        shape,
      );
      expect(distance(await valuesOf(model.logits(tokens(ids), { positions })), logitsFrom(4))).toBeLessThan(2e-6);
      const shifted = model.with({ positionShift: 3 });
      const before = constant(
        Int32Array.from(ids, (_, i) => i + 1),
        shape,
      );
      expect(distance(await valuesOf(shifted.logits(tokens(ids), { positions: before })), logitsFrom(4))).toBeLessThan(
        2e-6,
      );
    }
    const shifted = await valuesOf(model.with({ positionShift: 4 }).logits(tokens(ids)));
    expect(distance(shifted, logitsFrom(4))).toBeLessThan(2e-6);
    expect(distance(shifted, logitsFrom(0))).toBeGreaterThan(1e-2);
  });

  test('a smaller table gives the same', async () => {
    const positions = constant(
      Int32Array.from(ids, (_, i) => i),
      [8],
    );
    const logits = await valuesOf(model.logits(tokens(ids), { positions, positionLimit: 8 }));
    expect(distance(logits, logitsFrom(0))).toBeLessThan(2e-6);
  });

  test('are as many as there are for rows in front and tokens together', () => {
    const many = (count: number): Tensor => tokens(Array.from({ length: count }, () => 1));
    expect(model.hidden(many(12)).shape).toEqual([1, 12, 8]);
    expect(() => model.hidden(many(13))).toThrow(/13 positions of tokens after 0 .* learned 12 in all/);
    expect(soft.hidden(many(9)).shape).toEqual([1, 9, 8]);
    expect(() => soft.hidden(many(10))).toThrow(/10 positions of tokens after 3 .* learned 12 in all/);
    const shifted = soft.with({ positionShift: 2 });
    expect(shifted.positionsLeft).toBe(10);
    expect(() => shifted.hidden(many(8))).toThrow(/8 positions of tokens after 5 /);
    const positions = input('positions', [4], 'i32');
    expect(shifted.hidden(many(4), { positions }).shape).toEqual([1, 4, 8]);
    expect(() => shifted.hidden(many(4), { positions, positionLimit: 8 })).toThrow(/8 positions of tokens after 5 /);
    const full = model.with({ positionShift: 12 });
    expect(() => full.hidden(many(1), { positions: input('positions', [1], 'i32') })).toThrow(/after 12 /);
  });

  test('bound the context of a generator, which fills what rows in front leave', async () => {
    const generated = async (lm: CausalLM): Promise<number> => {
      const g = generator(lm, { executor: reference() });
      const [text] = await g.generate([[1, 2]]);
      await g.close();
      return text!.length;
    };
    expect(await generated(model)).toBe(10);
    expect(await generated(soft)).toBe(7);
    expect(() => generator(soft, { executor: reference(), context: 10 })).toThrow(/from 2 to the model's 9, got 10/);
  });

  test('are learned: the gradient reaches the rows that were used, and no other', async () => {
    const table = parameters(model).get('transformer.wpe.weight')!;
    const [gradient] = grad(meanOf(soft.loss({ ids: tokens([1, 2, 3, 4]), labels: tokens([2, 3, 4, 5]) })), [table]);
    const { values } = await evaluate({ values: gradient! }, { executor: reference() });
    const rows = Array.from({ length: 12 }, (_, i) => Math.hypot(...values!.subarray(i * 8, i * 8 + 8)));
    expect(rows.map((norm) => norm > 1e-4)).toEqual([...Array(7).fill(true), ...Array(5).fill(false)]);
  });
});
