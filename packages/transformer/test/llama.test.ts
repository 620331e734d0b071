import { constant } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import type { LlamaConfig } from '../src/index.ts';
import { buildModel, meanOf } from '../src/index.ts';
import { naiveLoss } from './naive.ts';
import { naiveLlama } from './naive-llama.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { siteNames } from './subjects.ts';
import { tinyConfig, tinyWeights } from './tiny.ts';

const variants: Readonly<Record<string, Partial<LlamaConfig>>> = {
  'grouped heads': {},
  'as many key heads as query heads': { keyValueHeads: 4 },
  'one key head': { keyValueHeads: 1 },
  'a tied head': { tieWordEmbeddings: true },
  biases: { attentionBias: true, mlpBias: true },
  'llama3 rope scaling': {
    ropeScaling: { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 32 },
  },
};

const ids = [3, 1, 4, 1, 5, 9, 2, 6];

describe.each(Object.entries(variants))('llama with %s', (_, changes) => {
  const config = tinyConfig(changes);
  const weights = tinyWeights();
  const model = buildModel(config, weights);

  test('gives the logits of plain loops, each row of a batch on its own', async () => {
    const other = ids.map((id) => (id * 5 + 2) % config.vocabSize);
    const expected = [ids, other].flatMap((row) => naiveLlama(config, weights.values, row)).flat();
    expect(distance(await valuesOf(model.logits(tokens(ids, other))), expected)).toBeLessThan(2e-6);
  });

  test('gives the loss of plain loops over the labelled positions', async () => {
    const labels = [1, 4, -100, 5, 9, -100, -100, 0];
    const expected = naiveLoss(naiveLlama(config, weights.values, ids), labels);
    const [loss] = await valuesOf(meanOf(model.loss({ ids: tokens(ids), labels: tokens(labels) })));
    expect(loss).toBeCloseTo(expected, 6);
  });
});

test('only the distance of positions counts to a llama', async () => {
  const model = buildModel(tinyConfig(), tinyWeights());
  const positions = constant(
    Int32Array.from(ids, (_, i) => i + 20),
    [ids.length],
  );
  const here = await valuesOf(model.logits(tokens(ids)));
  expect(distance(await valuesOf(model.logits(tokens(ids), { positions })), here)).toBeLessThan(1e-5);
  const shifted = model.with({ positionShift: 2 });
  expect(distance(await valuesOf(shifted.logits(tokens(ids))), here)).toBeLessThan(1e-5);
  expect(shifted.positionsLeft).toBe(Number.POSITIVE_INFINITY);
});

test('a llama has the paths of Hugging Face modules', () => {
  const model = buildModel(tinyConfig(), tinyWeights());
  expect(Object.fromEntries(siteNames.map((site) => [site, model.paths(site)]))).toEqual({
    embed: ['model.embed_tokens'],
    block: ['model.layers.0', 'model.layers.1'],
    attn: ['model.layers.0.self_attn', 'model.layers.1.self_attn'],
    mlp: ['model.layers.0.mlp', 'model.layers.1.mlp'],
    norm: [
      ...[0, 1].flatMap((i) => [`model.layers.${i}.input_layernorm`, `model.layers.${i}.post_attention_layernorm`]),
      'model.norm',
    ],
    heads: ['model.layers.0.self_attn', 'model.layers.1.self_attn'],
    kv: ['model.layers.0.self_attn', 'model.layers.1.self_attn'],
    head: ['lm_head'],
  });
  expect([...model.linears.keys()].filter((p) => p.includes('.0.') || !p.includes('layers'))).toEqual([
    ...['q', 'k', 'v', 'o'].map((n) => `model.layers.0.self_attn.${n}_proj`),
    ...['gate', 'up', 'down'].map((n) => `model.layers.0.mlp.${n}_proj`),
    'lm_head',
  ]);
  expect([...model.embeddings.keys()]).toEqual(['model.embed_tokens']);
  expect([...model.norms.keys()].sort()).toEqual([...model.paths('norm')].sort());
});
