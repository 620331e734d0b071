import { bfloat16ToFloat32, float32ToBfloat16 } from '@peftjs/io';
import { constant } from '@peftjs/tensor';
import { expect, test } from 'vitest';
import { biasedAttention } from '../src/biased-attention.ts';
import { alibi, coarseAlibi } from '../src/families/decoder/alibi.ts';
import { distance, valuesOf } from './run.ts';

const coarse = (value: number): number => bfloat16ToFloat32(float32ToBfloat16(Float32Array.of(value)))[0]!;

const ofKeys = (count: number) => constant(new Float32Array(count), [1, 1, count, 1]);

test("Falcon's additions to scores are rounded to bf16 as on the host, at any distance", async () => {
  const [heads, keys, headDim] = [71, 3000, 64];
  const bias = await valuesOf(coarseAlibi(heads, headDim)(1, keys, ofKeys(keys), null, null, 0));
  const plain = await valuesOf(alibi(heads)(1, 2, ofKeys(2), null, null, 0)); // −slope, 0
  for (let head = 0; head < heads; head++)
    for (let key = 0; key < keys; key++) {
      const wanted = Math.fround(coarse(coarse(-plain[head * 2]!) * coarse(key)) / Math.sqrt(headDim));
      if (Math.abs(bias[head * keys + key]! - wanted) > 2e-7 * wanted)
        expect(bias[head * keys + key], `head ${head}, key ${key}`).toBe(wanted);
    }
  expect(bias.length).toBe(heads * keys);
});

test('heads of queries that share keys have what each of them has of its own', async () => {
  const values = (count: number, seed: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(seed + i));
  const [q, k, v] = [constant(values(24, 1), [1, 4, 3, 2]), values(6, 2), values(6, 3)];
  const of = (heads: number) => {
    const each = (x: Float32Array) =>
      constant(
        Float32Array.from({ length: 6 * heads }, (_, i) => x[i % 6]!),
        [1, heads, 3, 2],
      );
    const bias = alibi(4)(3, 3, ofKeys(3), null, null, 0);
    return valuesOf(biasedAttention(q, each(k), each(v), { causal: true, keyMask: null, bias }));
  };
  expect(distance(await of(1), await of(4))).toBe(0);
});
