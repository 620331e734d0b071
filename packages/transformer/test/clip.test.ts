import { grad } from '@peftjs/autograd';
import { memoryFiles } from '@peftjs/io';
import { constant, evaluate, reference, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import {
  buildModel,
  type DualConfig,
  featureExtraction,
  imageClassifier,
  imageFeatures,
  imageText,
  loadModel,
  meanOf,
  parameters,
  parseConfig,
  saveModel,
  textFeatures,
  type ZeroShotOptions,
  zeroShot,
} from '../src/index.ts';
import { tinyWeights } from './tiny.ts';

const side = { num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 12 };
const text = { ...side, hidden_size: 8, vocab_size: 30, max_position_embeddings: 8, bos_token_id: 0, eos_token_id: 9 };
const vision = { ...side, hidden_size: 12, image_size: 4, patch_size: 2 };
const configOf = (more: object = {}): Promise<DualConfig> =>
  parseConfig({
    model_type: 'clip',
    text_config: text,
    vision_config: vision,
    projection_dim: 6,
    ...more,
  }) as Promise<DualConfig>;

const config = await configOf();

const pixelsOf = (count: number): Tensor =>
  constant(
    Float32Array.from({ length: count * 48 }, (_, i) => Math.sin(i * 0.7)),
    [count, 3, 4, 4],
  );

const ids = (...rows: readonly (readonly number[])[]): Tensor =>
  constant(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);

const texts: readonly (readonly number[])[] = [
  [0, 5, 9, 4],
  [0, 6, 7, 9],
  [3, 9, 9, 9],
];

const read = async (y: Tensor): Promise<readonly number[]> => [
  ...(await evaluate({ y }, { executor: reference() }))['y']!,
];

const near = (a: readonly number[], b: readonly number[]): void => {
  expect(a).toHaveLength(b.length);
  a.forEach((v, i) => void expect(v).toBeCloseTo(b[i]!, 5));
};

test('more texts than pictures: each pair has the likeness that it has alone', async () => {
  const model = buildModel(config, tinyWeights(1), imageText());
  const all = await read(model.outputs({ pixels: pixelsOf(2), ids: ids(...texts) }));
  const alone = await Promise.all(texts.map((row) => read(model.outputs({ ids: ids(row), pixels: pixelsOf(1) }))));
  expect(all).toHaveLength(6);
  near(all.slice(0, 3), alone.flat());
  expect(Math.max(...all)).toBeGreaterThan(Math.min(...all) + 0.1);
});

test('a loss needs a text for each picture', async () => {
  const model = buildModel(config, tinyWeights(1), imageText());
  expect(await messageOf('bad-shape', () => model.loss({ pixels: pixelsOf(2), ids: ids(...texts) }))).toContain(
    'a text for each picture',
  );
});

test('one tower runs without the input of the other, and the likeness is the product of their vectors', async () => {
  const weights = tinyWeights(1);
  const [pictures, words, pairs] = [
    imageFeatures({ normalize: true }),
    textFeatures({ normalize: true }),
    imageText(),
  ].map((task) => buildModel(config, weights, task));
  const a = await read(pictures!.outputs({ pixels: pixelsOf(1) }));
  const b = await read(words!.outputs({ ids: ids(texts[0]!) }));
  const scale = Math.exp(weights.values.get('logit_scale.weight')![0]!);
  near(await read(pairs!.outputs({ pixels: pixelsOf(1), ids: ids(texts[0]!) })), [
    scale * a.reduce((sum, v, i) => sum + v * b[i]!, 0),
  ]);
  expect(await messageOf('bad-option', () => pairs!.outputs({ pixels: pixelsOf(1) }))).toContain('ids is missing');
  expect(await messageOf('bad-option', () => pictures!.outputs({}))).toContain('ids, pixels is needed');
  expect(await messageOf('bad-option', () => pictures!.loss({ pixels: pixelsOf(1) }))).toContain('no loss');
});

test('what follows the end of a text changes nothing; a text without an end is refused', async () => {
  const model = buildModel(config, tinyWeights(1), textFeatures());
  near(await read(model.outputs({ ids: ids([0, 5, 9, 4]) })), await read(model.outputs({ ids: ids([0, 5, 9, 20]) })));
  expect(await messageOf('bad-data', () => model.outputs({ ids: ids(texts[0]!, [0, 5, 6, 7]) }))).toContain('row 1');
});

const encode = (text: string): readonly number[] => [0, ...[...text].map((c) => 10 + (c.charCodeAt(0) % 20)), 9];
const options: ZeroShotOptions = { labels: ['a', 'b', 'c'], texts: ['ab', 'b', 'cca'], encode, padId: 9 };

test('zero-shot: the texts of classes, filled up, beside any number of pictures', async () => {
  const weights = tinyWeights(1);
  const model = buildModel(config, weights, zeroShot(options));
  const rows = options.texts!.map((one) => [...encode(one), 9, 9, 9].slice(0, 5));
  const wanted = await read(
    buildModel(config, weights, imageText()).outputs({ pixels: pixelsOf(2), ids: ids(...rows) }),
  );
  expect(await read(model.outputs({ pixels: pixelsOf(2) }))).toEqual(wanted);
  const loss = meanOf(model.loss({ pixels: pixelsOf(2), labels: constant(Int32Array.of(2, 0), [2]) }));
  const own = (row: number, label: number): number => {
    const logits = wanted.slice(row * 3, row * 3 + 3);
    return Math.log(logits.reduce((sum, v) => sum + Math.exp(v), 0)) - logits[label]!;
  };
  expect((await read(loss))[0]).toBeCloseTo((own(0, 2) + own(1, 0)) / 2, 5);
  const table = parameters(model).get('text_model.embeddings.token_embedding.weight')!;
  expect((await read(grad(loss, [table])[0]!)).some((v) => Math.abs(v) > 1e-4)).toBe(true);
});

test('zero-shot: texts that make no rows are refused', async () => {
  const { padId: _, ...without } = options;
  expect(await messageOf('bad-option', () => zeroShot(without))).toContain('"ab" has 4; give padId');
  expect(await messageOf('bad-option', () => zeroShot({ ...options, length: 4 }))).toContain('5 tokens, length is 4');
  expect(await messageOf('bad-option', () => zeroShot({ ...options, texts: ['ab'] }))).toContain(
    '1 texts for 3 labels',
  );
  expect(await messageOf('bad-option', () => zeroShot({ ...options, encode: () => [1.5] }))).toContain('no token ids');
  const seen: string[] = [];
  zeroShot({ labels: ['dog'], encode: (one) => (seen.push(one), [1, 9]) });
  expect(seen).toEqual(['a photo of a dog.']);
});

test('a task that reads a sequence is refused with those that there are', async () => {
  expect(await messageOf('bad-option', () => buildModel(config, tinyWeights(1), featureExtraction()))).toContain(
    'it has imageText',
  );
});

test('configs that cannot be are refused, all problems at once; older names of their parts are read', async () => {
  const message = await messageOf('bad-config', () =>
    configOf({
      text_config: { ...text, num_attention_heads: 3, pad_token_id: 99 },
      vision_config: { ...vision, patch_size: 8 },
    }),
  );
  expect(message).toMatch(/pad_token_id 99[\s\S]*patch_size 8 is larger[\s\S]*text_config: hidden_size 8/);
  expect(await messageOf('bad-config', () => configOf({ text_config: { ...text, eos_token_id: null } }))).toContain(
    'one end of a text',
  );
  const older = await configOf({ text_config: null, text_config_dict: text });
  expect(older).toEqual(config);
  expect((await configOf({ text_config: {}, vision_config: {} })).vision).toMatchObject({ layers: 12, patch: 32 });
});

const siglip = await parseConfig({
  model_type: 'siglip',
  text_config: { ...text, hidden_size: 12 },
  vision_config: vision,
});

test('of SigLIP the last token stands for the text, and layers of its pooling are no target', async () => {
  const model = buildModel(siglip, tinyWeights(1), imageText());
  const inputs = { pixels: pixelsOf(2), ids: ids([1, 2, 3], [4, 5, 6]) };
  const [a, b, c, d] = (await read(model.outputs(inputs))) as [number, number, number, number];
  const softplus = (x: number): number => Math.log1p(Math.exp(x));
  expect((await read(meanOf(model.loss(inputs))))[0]).toBeCloseTo(
    (softplus(-a) + softplus(b) + softplus(c) + softplus(-d)) / 2,
    4,
  );
  const pooling = model.parts(['pooling']).map(({ path }) => path.split('.').at(-1));
  expect(pooling).toEqual(['in_proj', 'out_proj']);
  expect(
    await messageOf('bad-config', () =>
      parseConfig({ model_type: 'siglip', text_config: text, vision_config: vision }),
    ),
  ).toContain('projection_size 8 is not the hidden_size 12');
});

test.each([
  ['clip', config],
  ['siglip', siglip],
])('a folder of both towers of %s has a classifier of pictures made, and reads no texts', async (_, whole) => {
  const dir = memoryFiles();
  await saveModel(buildModel(whole, tinyWeights(1), imageText()), dir, { executor: reference() });
  const task = imageClassifier({ labels: 3 });
  const model = await loadModel(dir, { task });
  expect(model.towers.map(({ name }) => name)).toEqual(['vision']);
  expect(model.trainedHeads).toEqual(['classifier']);
  const logits = await read(model.outputs({ pixels: pixelsOf(2) }));
  expect(logits).toHaveLength(6);
  expect(await read((await loadModel(dir, { task, seed: 1 })).outputs({ pixels: pixelsOf(2) }))).not.toEqual(logits);
  await saveModel(model, dir, { executor: reference() });
  expect(await read((await loadModel(dir, { task, seed: 1 })).outputs({ pixels: pixelsOf(2) }))).toEqual(logits);
  expect(await messageOf('bad-option', () => model.outputs({ ids: ids(...texts) }))).toContain('pixels is needed');
});
