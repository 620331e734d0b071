import { attention, constant, normalValues, randomSource, type Shape, sizeOf, type Tensor } from '@peftjs/tensor';
import { expect, test } from 'vitest';
import { biasedAttention } from '../src/biased-attention.ts';
import { buildModel, type DecoderConfig, type DecoderFields, meanOf } from '../src/index.ts';
import { crossEntropies } from '../src/tasks/head-loss.ts';
import { distance, tokens, valuesOf } from './run.ts';
import { tinyConfig, tinyWeights } from './tiny.ts';

const drawn = (name: string, shape: Shape): Tensor =>
  constant(normalValues(sizeOf(shape), 1, randomSource(0, name)), shape);

const configOf = (modelType: string, fields: Partial<DecoderFields>): DecoderConfig => ({
  ...tinyConfig({ layers: 2 }),
  modelType,
  fields,
});

test('a bias of zeros changes nothing of windows and caps', async () => {
  const [q, k, v] = ['q', 'k', 'v'].map((name) => drawn(name, [2, 3, 5, 4])) as [Tensor, Tensor, Tensor];
  const bias = constant(new Float32Array(75), [1, 3, 5, 5]);
  for (const how of [{ window: 2 }, { softCap: 0.4 }, { window: 3, softCap: 1.5 }]) {
    const wanted = await valuesOf(attention(q, k, v, { causal: true, ...how }));
    const got = await valuesOf(biasedAttention(q, k, v, { causal: true, keyMask: null, bias, ...how }));
    expect(distance(got, wanted)).toBeLessThan(1e-6);
  }
});

test('a token beyond the windows of all layers changes nothing, one within them does', async () => {
  const model = buildModel(configOf('mistral', { slidingWindow: 3 }), tinyWeights());
  const last = (ids: readonly number[]): Promise<number[]> => valuesOf(model.logits(tokens(ids), { lastOnly: true }));
  // Two layers of three tokens each reach four tokens back.
  const ids = [3, 1, 4, 1, 5, 9, 2];
  expect(await last([3, 7, ...ids.slice(2)])).toEqual(await last(ids));
  expect(distance(await last([3, 1, 7, ...ids.slice(3)]), await last(ids))).toBeGreaterThan(1e-5);
});

test('logits stay within their cap, and the loss is of those', async () => {
  const model = buildModel(configOf('gemma2', { slidingWindow: 4, finalLogitSoftcapping: 1.5 }), tinyWeights());
  const [ids, labels] = [tokens([3, 1, 4, 1, 5]), tokens([1, 4, 2, 5, 9])];
  const logits = model.logits(ids);
  expect(Math.max(...(await valuesOf(logits)).map(Math.abs))).toBeLessThan(1.5);
  const wanted = await valuesOf(
    crossEntropies(
      constant(Float32Array.from(await valuesOf(logits)), [5, 13]),
      constant(Int32Array.of(1, 4, 2, 5, 9), [5]),
    ),
  );
  const [loss] = await valuesOf(meanOf(model.loss({ ids, labels })));
  expect(loss).toBeCloseTo(wanted.reduce((a, b) => a + b, 0) / 5, 5);
});
