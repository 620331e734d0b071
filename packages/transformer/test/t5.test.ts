import { memoryFiles } from '@peftjs/io';
import { constant, reference, type Tensor } from '@peftjs/tensor';
import { describe, expect, test } from 'vitest';
import {
  buildModel,
  loadModel,
  meanOf,
  saveModel,
  seq2seqLM,
  sequenceClassifier,
  type T5Config,
  tokenClassifier,
} from '../src/index.ts';
import { tinyT5Config } from '../src/testing/index.ts';
import { naiveLoss } from './naive.ts';
import { naiveT5 } from './naive-t5.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyWeights } from './tiny.ts';

const variants: Readonly<Record<string, Partial<T5Config>>> = {
  'a gated MLP and a tied head': {},
  'a plain MLP of ReLU': { gated: false, activation: 'relu' },
  'its own head, not scaled': { tieWordEmbeddings: false, scaledHead: false },
  'more blocks in the encoder': { encoderLayers: 3, layers: 1 },
  'one head': { heads: 1, headDim: 5 },
  'a short reach': { buckets: 4, maxDistance: 3 },
  'a long reach': { buckets: 16, maxDistance: 40 },
  'a large eps': { normEps: 0.5 },
};

// Longer than the reach of most.
const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2];
const decoderIds = [0, 2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9];
const seen = ids.map((_, t) => t !== 4 && t < 12);
const decoderSeen = decoderIds.map((_, t) => t !== 2);
const floats = (...rows: readonly (readonly boolean[])[]): Tensor =>
  constant(Float32Array.from(rows.flat(), Number), [rows.length, rows[0]!.length]);
const all = (row: readonly unknown[]): boolean[] => row.map(() => true);

describe.each(Object.entries(variants))('t5 with %s', (_, changes) => {
  const config = { ...tinyT5Config, ...changes };
  const weights = tinyWeights();
  const model = buildModel(config, weights, seq2seqLM());
  const pairs = [
    { ids, decoderIds },
    { ids: ids.toReversed(), decoderIds: decoderIds.toReversed(), seen, decoderSeen },
  ];
  const inputs = {
    ids: tokens(...pairs.map((pair) => pair.ids)),
    decoderIds: tokens(...pairs.map((pair) => pair.decoderIds)),
    mask: floats(all(ids), seen),
    decoderMask: floats(all(decoderIds), decoderSeen),
  };
  const rows = pairs.map((pair) => naiveT5(config, weights.values, pair));

  test('gives the logits of plain loops, each row of a batch on its own', async () => {
    const largest = Math.max(...rows.flat(2).map(Math.abs));
    expect(distance(await valuesOf(model.outputs(inputs)), rows.flat(2)) / largest).toBeLessThan(1e-5);
  });

  test('gives the loss of plain loops over the labelled positions', async () => {
    const labels = decoderIds.map((id, t) => (t % 3 === 1 ? -100 : (id + t) % 13));
    const [loss] = await valuesOf(meanOf(model.loss({ ...inputs, labels: tokens(labels, labels) })));
    expect(loss).toBeCloseTo(naiveLoss(rows.flat(), [...labels, ...labels]), 4);
  });
});

test("a T5's folder is read for any task: its classes have the towers in a module of their own, or the encoder alone, and give the same states", async () => {
  const executor = reference();
  const ends = [...ids, 1];
  const inputs = { ids: tokens(ends), decoderIds: tokens([0, ...ids]) };
  const encoded = async (model: { states(inputs: object): { byTower: ReadonlyMap<string, Tensor> } }) =>
    valuesOf(model.states(inputs).byTower.get('encoder')!);
  const [base, classes, tags] = [memoryFiles(), memoryFiles(), memoryFiles()];
  const whole = buildModel({ ...tinyT5Config, eosIds: [1], decoderStartId: 0 }, tinyWeights(), seq2seqLM());
  await saveModel(whole, base, { executor });
  const classifier = await loadModel(base, { task: sequenceClassifier({ labels: 2 }) });
  expect(classifier.paths('attn')[0]).toBe('transformer.encoder.block.0.layer.0.SelfAttention');
  expect(await encoded(classifier)).toEqual(await encoded(whole));
  expect(await valuesOf(classifier.outputs({ ids: inputs.ids }))).toEqual(await valuesOf(classifier.outputs(inputs)));
  await saveModel(classifier, classes, { executor });
  const tagger = await loadModel(classes, { task: tokenClassifier({ labels: 3 }) });
  expect(tagger.towers.map(({ name }) => name)).toEqual(['encoder']);
  expect(await encoded(tagger)).toEqual(await encoded(whole));
  const again = await loadModel(classes, { task: seq2seqLM() });
  expect(await valuesOf(again.outputs(inputs))).toEqual(await valuesOf(whole.outputs(inputs)));
  await saveModel(tagger, tags, { executor });
  await expect(loadModel(tags, { task: seq2seqLM() })).rejects.toThrow(/decoder\.block\.0.* is missing/);
});
