import { concat, constant, type Tensor } from '@peftjs/tensor';
import { messageOf } from '@peftjs/tensor/testing';
import { expect, test } from 'vitest';
import {
  type Around,
  buildModel,
  type Inputs,
  imageClassifier,
  type KeysOf,
  maskedLM,
  parseConfig,
  seq2seqLM,
  type TaskModel,
  takeRows,
} from '../src/index.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyWeights } from './tiny.ts';

const sizes = {
  vocab_size: 13,
  hidden_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 10,
  max_position_embeddings: 16,
};
const t5 = {
  d_model: 8,
  d_kv: 4,
  d_ff: 10,
  num_layers: 1,
  num_heads: 2,
  vocab_size: 13,
  relative_attention_num_buckets: 8,
};
const beit = {
  hidden_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 10,
  image_size: 8,
  patch_size: 4,
};

const ids = tokens([3, 4, 5, 6, 2, 7], [7, 8, 9, 1, 5, 5]);
const mask = (...rows: readonly (readonly number[])[]): Tensor => constant(Float32Array.from(rows.flat()), [2, 6]);
const chosen = constant(Int32Array.of(4, 0, 2, 1, 3, 0), [2, 3]);
const decoderIds = tokens([1, 2], [3, 4]);
const pixels = constant(
  Float32Array.from({ length: 2 * 3 * 64 }, (_, i) => Math.sin(i)),
  [2, 3, 8, 8],
);

const build = async (modelType: string): Promise<TaskModel<unknown>> => {
  if (modelType === 't5') return buildModel(await parseConfig({ model_type: 't5', ...t5 }), tinyWeights(), seq2seqLM());
  if (modelType === 'beit')
    return buildModel(
      await parseConfig({ model_type: 'beit', ...beit, use_relative_position_bias: true }),
      tinyWeights(),
      imageClassifier({ labels: 2 }),
    );
  const more =
    modelType === 'modernbert'
      ? { layer_types: ['sliding_attention'], local_attention: 4, bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 }
      : {};
  return buildModel(await parseConfig({ model_type: modelType, ...sizes, ...more }), tinyWeights(), maskedLM());
};

/** Two keys that a method puts in front of those of all rows. */
const prefix: Around<'kv'> = (kv, next) => {
  const { k, v } = next(kv);
  const first = constant(
    Float32Array.from({ length: 2 * 2 * 2 * 4 }, (_, i) => Math.cos(i)),
    [2, 2, 2, 4],
  );
  return { k: concat(first, k, { axis: 2 }), v: concat(first, v, { axis: 2 }) };
};

/** What `look` makes of the first layer in a pass. */
const seen = (
  model: TaskModel<unknown>,
  inputs: Inputs,
  look: (...of: Parameters<Around<'block'>>) => Tensor,
): Promise<number[]> => {
  let found: Tensor | undefined;
  const [first] = model.paths('block') as readonly [string];
  const around: Around<'block'> = (x, next, call) => {
    found = look(x, next, call);
    return next(x);
  };
  model.with({ around: { block: new Map([[first, [around]]]) } }).states(inputs);
  return valuesOf(found!);
};

const kinds = ['bert', 'mpnet', 'modernbert', 't5', 'beit'];
const over =
  (keys: KeysOf) =>
  (...[x, next, call]: Parameters<Around<'block'>>) =>
    call.over!(x, chosen, keys, next);

test.each(kinds)('rows of %s that go through a layer alone are what they are among all', async (kind) => {
  const plain = await build(kind);
  const kv = new Map([[plain.paths('kv')[0]!, [prefix]]]);
  for (const model of [plain, plain.with({ around: { kv } })]) {
    const inputs =
      kind === 'beit' ? { pixels } : { ids, decoderIds, mask: mask([1, 1, 1, 1, 1, 0], [0, 1, 1, 1, 1, 1]) };
    const whole = await seen(model, inputs, (x, next) => takeRows(next(x), chosen));
    expect(distance(await seen(model, inputs, over('all')), whole)).toBeLessThan(1e-6);
    if (kind === 'beit') continue;
    // Alone with their own keys they are as if all others were hidden.
    const hidden = { ...inputs, mask: mask([1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 0]) };
    const among = await seen(model, hidden, (x, next) => takeRows(next(x), chosen));
    expect(distance(await seen(model, inputs, over('chosen')), among)).toBeLessThan(1e-6);
    expect(distance(among, whole)).toBeGreaterThan(1e-3);
  }
});

test('middleware beneath has its part; attention by contents refuses', async () => {
  const plain = await build('bert');
  const [path] = plain.paths('block') as readonly [string];
  const double: Around<'block'> = (x, next, { sequence }) =>
    concat(
      next(x),
      constant(Float32Array.of(sequence.tokens, 0, 0, 0, 0, 0, 0, 0, sequence.tokens, 0, 0, 0, 0, 0, 0, 0), [2, 1, 8]),
      { axis: 1 },
    );
  const model = plain.with({ around: { block: new Map([[path, [double]]]) } });
  const found = await seen(model, { ids }, over('chosen'));
  expect(found.slice(24, 26)).toEqual([3, 0]);
  const apart = buildModel(
    await parseConfig({ model_type: 'deberta-v2', ...sizes, relative_attention: true, pos_att_type: 'c2p|p2c' }),
    tinyWeights(),
    maskedLM(),
  );
  expect(await messageOf('bad-option', () => seen(apart, { ids }, over('all')))).toContain(
    'no rows go through its layer alone',
  );
});
