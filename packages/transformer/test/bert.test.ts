import { constant } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import { type BertConfig, buildModel, maskedLM, meanOf, sequenceClassifier } from '../src/index.ts';
import { tinyBertConfig } from '../src/testing/index.ts';
import { naiveLoss } from './naive.ts';
import { naiveClasses, naiveMasked } from './naive-bert.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyWeights } from './tiny.ts';

const variants: Readonly<Record<string, Partial<BertConfig>>> = {
  'a tied head': {},
  'its own head': { tieWordEmbeddings: false },
  'the tanh GELU': { activation: 'gelu-tanh' },
  ReLU: { activation: 'relu' },
  'one head': { heads: 1, headDim: 8 },
  'three token types': { tokenTypes: 3 },
  'an MLP narrower than the stream': { intermediateSize: 5 },
  'a large eps': { normEps: 0.5 },
};

const ids = [3, 1, 4, 1, 5, 9, 2, 6];
const other = ids.map((id) => (id * 5 + 2) % tinyBertConfig.vocabSize);
const types = [0, 0, 0, 1, 1, 1, 1, 1];
const seen = [true, true, false, true, true, true, false, false];
const typed = (kinds: number): number[] => types.map((type, t) => (type + t) % kinds);
const mask = constant(Float32Array.from([...ids.map(() => 1), ...seen.map(Number)]), [2, ids.length]);

describe.each(Object.entries(variants))('bert with %s', (_, changes) => {
  const config = { ...tinyBertConfig, ...changes };
  const texts = [
    { ids, types: typed(config.tokenTypes) },
    { ids: other, types, seen },
  ];
  const inputs = { ids: tokens(ids, other), tokenTypes: tokens(...texts.map((text) => text.types)), mask };

  test('gives the classes of plain loops, each row of a batch on its own', async () => {
    const weights = tinyWeights();
    const model = buildModel(config, weights, sequenceClassifier({ labels: 3 }));
    const expected = texts.flatMap((text) => naiveClasses(config, weights.values, text, 3));
    expect(distance(await valuesOf(model.outputs(inputs)), expected)).toBeLessThan(2e-6);
    const labels = constant(Int32Array.of(2, 0), [2]);
    const [loss] = await valuesOf(meanOf(model.loss({ ...inputs, labels })));
    expect(loss).toBeCloseTo(naiveLoss([expected.slice(0, 3), expected.slice(3)], [2, 0]), 6);
  });

  test('gives the masked tokens of plain loops', async () => {
    const weights = tinyWeights();
    const model = buildModel(config, weights, maskedLM());
    const rows = texts.map((text) => naiveMasked(config, weights.values, text));
    expect(distance(await valuesOf(model.outputs(inputs)), rows.flat(2))).toBeLessThan(5e-6);
    const labels = [1, -100, 4, 5, -100, 0, 7, -100];
    const [loss] = await valuesOf(meanOf(model.loss({ ...inputs, labels: tokens(labels, labels) })));
    expect(loss).toBeCloseTo(naiveLoss(rows.flat(), [...labels, ...labels]), 5);
  });
});
