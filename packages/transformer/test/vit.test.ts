import { constant, evaluate, pad, reference, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { describe, expect, test } from 'vitest';
import { interpolated } from '../src/families/vit/interpolated.ts';
import { relativePositions } from '../src/families/vit/relative.ts';
import {
  type Around,
  buildModel,
  imageClassifier,
  parseConfig,
  type SwinConfig,
  tokenTableOf,
  type VitConfig,
} from '../src/index.ts';
import { tinyWeights } from './tiny.ts';

const fields = { hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 12, patch_size: 2 };
const configOf = (modelType: string, more: object = {}): Promise<VitConfig> =>
  parseConfig({ model_type: modelType, ...fields, image_size: 4, ...more }) as Promise<VitConfig>;

const pixels = (shape: readonly number[]): Tensor =>
  constant(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 0.7)),
    shape,
  );

describe.each(['vit', 'deit', 'dinov2', 'beit'])('%s', (modelType) => {
  test('reads pictures of the sizes that it may, and no other', async () => {
    const model = buildModel(await configOf(modelType), tinyWeights(1), imageClassifier({ labels: 3 }));
    expect(model.outputs({ pixels: pixels([2, 3, 4, 4]) }).shape).toEqual([2, 3]);
    const wrong = modelType === 'dinov2' ? [[2, 3, 1, 6]] : [[2, 3, 4, 6]];
    for (const shape of [...wrong, [2, 1, 4, 4], [2, 48]])
      expect(await messageOf('bad-shape', () => model.outputs({ pixels: pixels(shape) }))).toMatch(
        modelType === 'dinov2' ? /\[2, 3, height, width\]/ : /\[2, 3, 4, 4\]/,
      );
    const whole = constant(new Int32Array(48), [1, 3, 4, 4]);
    expect(await messageOf('bad-dtype', () => model.outputs({ pixels: whole }))).toContain('must be f32');
    expect(await messageOf('bad-option', () => model.outputs({ ids: whole }))).toContain('pixels is missing');
    expect(await messageOf('bad-option', () => tokenTableOf(model, model.main, 'it'))).toContain('reads pictures');
  });

  test('each picture of a batch gives what it gives alone', async () => {
    const model = buildModel(await configOf(modelType), tinyWeights(1), imageClassifier({ labels: 3 }));
    const both = Float32Array.from({ length: 96 }, (_, i) => Math.cos(i));
    const logits = async (data: Float32Array): Promise<number[]> => {
      const input = constant(data, [data.length / 48, 3, 4, 4]);
      return [...(await evaluate({ y: model.outputs({ pixels: input }) }, { executor: reference() }))['y']!];
    };
    const alone = [...(await logits(both.slice(0, 48))), ...(await logits(both.slice(48)))];
    expect((await logits(both)).map((v, i) => Math.abs(v - alone[i]!)).every((d) => d < 1e-6)).toBe(true);
    expect(alone.slice(0, 3)).not.toEqual(alone.slice(3));
  });
});

test('positions of one value are the same for every size', async () => {
  const rows = constant(new Float32Array(16 * 2).fill(3), [16, 2]);
  const { y } = await evaluate({ y: interpolated(rows, 3, 7) }, { executor: reference() });
  expect(y).toHaveLength(42);
  for (const value of y!) expect(value).toBeCloseTo(3, 6);
});

test('a square that stays its size keeps its positions; a slope stays even', async () => {
  const rows = constant(
    Float32Array.from({ length: 25 }, (_, i) => i % 5),
    [25, 1],
  );
  const { same, wide } = await evaluate(
    { same: interpolated(rows, 5, 5), wide: interpolated(rows, 5, 10) },
    { executor: reference() },
  );
  expect([...same!]).toEqual(Array.from({ length: 25 }, (_, i) => i % 5));
  for (let at = 0; at < 10; at++) expect(wide![at]! + wide![9 - at]!).toBeCloseTo(4, 5);
  expect(wide![4]!).toBeGreaterThan(wide![3]!);
});

test('pixels beyond the last whole patch are not seen, as by a convolution', async () => {
  const config = await configOf('vit', { image_size: [5, 7], patch_size: [2, 3] });
  expect(config).toMatchObject({ picture: [3, 5, 7], patch: [2, 3], maxPositions: 5 });
  const model = buildModel(config, tinyWeights(1), imageClassifier({ labels: 2 }));
  const read = async (data: Float32Array): Promise<number[]> => [
    ...(await evaluate({ y: model.outputs({ pixels: constant(data, [1, 3, 5, 7]) }) }, { executor: reference() }))[
      'y'
    ]!,
  ];
  const data = Float32Array.from({ length: 105 }, (_, i) => Math.sin(i));
  const beyond = data.map((v, i) => (i % 7 === 6 || Math.floor(i / 7) % 5 === 4 ? 100 : v));
  expect(await read(beyond)).toEqual(await read(data));
});

test('configs that cannot be are refused, all problems at once', async () => {
  const message = await messageOf('bad-config', () =>
    configOf('vit', { num_attention_heads: 3, patch_size: 8, hidden_act: 'none' }),
  );
  expect(message).toMatch(/hidden_act/);
  expect(await messageOf('bad-config', () => configOf('vit', { num_attention_heads: 3, patch_size: 8 }))).toMatch(
    /multiple of num_attention_heads[\s\S]*larger than image_size 4x4/,
  );
  expect(await messageOf('bad-config', () => configOf('dinov2', { use_swiglu_ffn: true }))).toContain('use_swiglu_ffn');
});

test("a place between two patches has one number, whatever patches they are; those of methods' rows in front are 0", async () => {
  const config = await configOf('beit', { image_size: 6, use_relative_position_bias: true });
  const table = constant(
    Float32Array.from({ length: 28 * 2 }, (_, i) => i + 1),
    [28, 2],
  );
  const { bias } = await evaluate({ bias: relativePositions(table, config, 11, 12) }, { executor: reference() });
  const at = (query: number, key: number): number => bias![query * 12 + key]!;
  // Nine patches and the class's row are the last ten; one further query and two further keys are in front.
  expect(at(1, 2)).toBe(2 * 27 + 1); // from the class's row to itself
  expect(at(1, 7)).toBe(2 * 25 + 1); // from it to a patch
  expect(at(6, 2)).toBe(2 * 26 + 1); // from a patch to it
  const right = [0, 1, 3, 4, 6, 7].map((patch) => at(patch + 2, patch + 4));
  expect(new Set(right).size).toBe(1);
  expect(right[0]).not.toBe(at(2, 6));
  for (let key = 0; key < 12; key++) expect(at(0, key)).toBe(0);
  for (let query = 0; query < 11; query++) expect([at(query, 0), at(query, 1)]).toEqual([0, 0]);
});

test('a BEiT that has relative positions twice, or of pictures that are not square, is refused', async () => {
  const relative = { use_relative_position_bias: true };
  expect(
    await messageOf('bad-config', () => configOf('beit', { ...relative, use_shared_relative_position_bias: true })),
  ).toContain('both true');
  expect(await messageOf('bad-config', () => configOf('beit', { ...relative, image_size: [4, 6] }))).toContain(
    'squares are',
  );
});

const stages = { model_type: 'swin', embed_dim: 4, depths: [2, 1], num_heads: [1, 2], window_size: 2, patch_size: 2 };
const swinOf = (more: object = {}): Promise<SwinConfig> =>
  parseConfig({ ...stages, image_size: [6, 8], ...more }) as Promise<SwinConfig>;

test('the rows of a Swin are as wide as their stage is', async () => {
  const model = buildModel(await swinOf(), tinyWeights(1), imageClassifier({ labels: 3 }));
  expect(model.paths('block').map((path) => model.widthAt(path))).toEqual([4, 4, 8]);
  expect([model.widthAt('swin.embeddings'), model.widthAt('swin')]).toEqual([4, 8]);
  const { main } = model.states({ pixels: pixels([2, 3, 6, 8]) });
  expect(main.shape).toEqual([2, 4, 8]);
});

test('a Swin takes no rows in front', async () => {
  const model = buildModel(await swinOf(), tinyWeights(1), imageClassifier({ labels: 3 }));
  const front: Around<'embed'> = (x, next) => pad(next(x), { axis: 1, before: 1, after: 0 });
  const prompted = model.with({ around: { embed: new Map([['swin.embeddings', [front]]]) } });
  expect(await messageOf('bad-option', () => prompted.outputs({ pixels: pixels([1, 3, 6, 8]) }))).toContain(
    'puts rows in front of those of the encoder, whose attention is within windows',
  );
});

test('a Swin whose sizes do not go together is refused with all that is wrong', async () => {
  const message = await messageOf('bad-config', () =>
    swinOf({ image_size: [7, 8], num_heads: [3, 2, 2], window_size: 3 }),
  );
  for (const part of [
    /num_heads has 3 entries and depths 2/,
    /num_heads 3 of stage 0 does not divide its width 4/,
    /image_size 7x8 is not a multiple/,
    /window_size 3 is larger than the 2x2 patches of stage 1/,
  ])
    expect(message).toMatch(part);
});
